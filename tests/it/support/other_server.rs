//! Other people's software: a stream that ffmpeg writes into a folder, and nginx in front of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// ffmpeg and nginx; both end when this is dropped.
pub(crate) struct OtherServer {
    ffmpeg: Child,
    nginx: Child,
    folder: tempfile::TempDir,
    /// Where nginx listens for plain HTTP.
    pub(crate) addr: SocketAddr,
    /// Where it listens for HTTP/2 over TLS, with a certificate that it has signed itself.
    pub(crate) tls: SocketAddr,
}

/// How long ffmpeg may take for five segments of a second each.
const PATIENCE: Duration = Duration::from_secs(60);

/// A picture of 25 frames a second and a tone, as they happen.
#[rustfmt::skip]
const SOURCE: [&str; 20] = [
    "-hide_banner", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=25",
    "-f", "lavfi", "-i", "sine", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-b:v", "200k",
];

impl OtherServer {
    /// Starts ffmpeg with these arguments after the source, and waits until `playlist` lists five segments.
    pub(crate) async fn on_air(encode: &[&str], playlist: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        // nginx's workers are not root, even if the test is.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(root, open).unwrap();
        std::fs::write(root.join("stream.key"), [7; 16]).unwrap();
        let key = format!("stream.key\n{}/stream.key\n", root.display());
        std::fs::write(root.join("key.info"), key).unwrap();
        let ffmpeg = Command::new("ffmpeg")
            .args(SOURCE)
            .args(encode)
            .current_dir(root)
            .stdin(Stdio::null())
            .spawn()
            .expect("ffmpeg is there: make deps");
        sign(root);
        let (addr, tls) = (free(), free());
        let server = Self {
            ffmpeg,
            nginx: nginx(root, addr, tls),
            folder,
            addr,
            tls,
        };
        let media = server.folder.path().join(playlist);
        let begun = Instant::now();
        let listed = || {
            let text = std::fs::read_to_string(&media).unwrap_or_default();
            text.matches("#EXTINF").count()
        };
        // Five seconds on a machine that has nothing else to do.
        while listed() < 5 {
            assert!(
                begun.elapsed() < PATIENCE,
                "ffmpeg has written {} segments",
                listed()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    /// What nginx has been asked: address, protocol, user agent and status of each request.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("access.log")).unwrap()
    }

    /// The certificate, as a file that can be trusted.
    pub(crate) fn certificate(&self) -> String {
        let path = self.folder.path().join("cert.pem");
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for OtherServer {
    fn drop(&mut self) {
        for process in [&mut self.ffmpeg, &mut self.nginx] {
            // By SIGTERM, so that nginx's master ends its workers.
            let _ = Command::new("kill").arg(process.id().to_string()).status();
            let _ = process.wait();
        }
    }
}

fn free() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// A key and a certificate for 127.0.0.1.
fn sign(root: &Path) {
    #[rustfmt::skip]
    let args = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
        "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem",
    ];
    let signed = Command::new("openssl")
        .args(args)
        .current_dir(root)
        .output()
        .expect("openssl is there: make deps");
    assert!(signed.status.success(), "{signed:?}");
}

fn nginx(root: &Path, addr: SocketAddr, tls: SocketAddr) -> Child {
    let at = root.to_str().unwrap();
    let config = format!(
        "daemon off; user root; pid {at}/nginx.pid; error_log {at}/error.log; events {{}}\n\
         http {{ log_format told '$request_uri $server_protocol $http_user_agent $status'; access_log {at}/access.log told;\n\
         types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4 m4s; }}\n\
         gzip on; gzip_min_length 1; gzip_types application/vnd.apple.mpegurl;\n\
         client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u;\n\
         scgi_temp_path {at}/s; server {{ listen {addr}; listen {tls} ssl http2; root {at};\n\
         ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem; }} }}\n"
    );
    std::fs::write(root.join("nginx.conf"), config).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new("nginx")
        .env("PATH", format!("{path}:/usr/sbin"))
        .args(["-p", at, "-c", "nginx.conf", "-e", "error.log"])
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx is there: make deps")
}
