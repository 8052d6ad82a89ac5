//! A viewer's HTTP client for other people's servers. reqwest brings TLS, HTTP/2 and gzip, its jar the cookies. Redirects are
//! followed here, so that they are counted.

use std::sync::Arc;
use std::time::Duration;

use flate2::Crc;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::cookie::{CookieStore, Jar};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::client::{PLAYLIST_BYTES_MAX, Trace};
use super::elsewhere::Elsewhere;
use crate::hls::reader::Span;
use crate::report::cache_status;
use crate::report::record::Outcome;
use crate::serve::clock::Clock;

/// How viewers present themselves to other people's servers.
#[derive(Clone, Debug, Default)]
pub struct UserAgent {
    /// Headers of every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether any certificate is taken.
    pub insecure: bool,
}

/// Redirects that are followed for one request, as hls.js' browsers do.
const REDIRECTS_MAX: usize = 20;

/// Headers that stay with the servers that the user has named.
const SECRET: [HeaderName; 4] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
];

/// What all viewers' clients have in common.
pub(super) struct Agent {
    headers: HeaderMap,
    /// `None`: any certificate is taken.
    tls: Option<ClientConfig>,
    /// Hosts that the user has named, and whether over TLS.
    named: Vec<(Host, bool)>,
}

/// A viewer's client, with its connections.
#[derive(Clone)]
pub(super) struct Browser {
    client: Client,
    /// How many requests may be under way, where viewers share the client.
    places: Option<Arc<Semaphore>>,
}

/// Where the body of an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// All of it is kept: a playlist.
    Text,
    /// Its length and checksum are kept.
    Checksum,
}

/// A whole answer.
pub(super) struct Got {
    /// Where it came from, after redirects.
    pub(super) url: Url,
    /// The body, if it was to be kept.
    pub(super) text: Vec<u8>,
    /// The checksum of the body otherwise.
    pub(super) body: Crc,
    /// Whether it is the part that was asked for, and not the whole.
    pub(super) is_part: bool,
}

/// Why there is no whole answer.
pub(super) struct Failed {
    pub(super) outcome: Outcome,
    /// What the client says about it.
    pub(super) why: Option<reqwest::Error>,
}

impl From<Outcome> for Failed {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, why: None }
    }
}

impl Agent {
    /// For the servers of these playlists.
    pub(super) fn new(user_agent: &UserAgent, named: &[Url]) -> Self {
        let mut headers = HeaderMap::new();
        let name = concat!("seawall/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(name));
        // Several lines of the same name are all sent, but they replace our own.
        for (name, _) in &user_agent.headers {
            headers.remove(name);
        }
        for (name, value) in &user_agent.headers {
            headers.append(name, value.clone());
        }
        Self {
            headers,
            tls: (!user_agent.insecure).then(tls),
            named: named
                .iter()
                .filter_map(|url| Some((url.host()?.to_owned(), is_secure(url))))
                .collect(),
        }
    }

    /// A client with connections of its own.
    pub(super) fn browser(&self) -> Browser {
        let mut building = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .tcp_nodelay(true);
        if let Some(tls) = &self.tls {
            let mut tls = tls.clone();
            // One viewer does not resume the session of another.
            tls.resumption = Resumption::in_memory_sessions(4);
            building = building.tls_backend_preconfigured(tls);
        } else {
            // The first one of the process stays; all are the same.
            let _ = rustls::crypto::ring::default_provider().install_default();
            building = building.tls_danger_accept_invalid_certs(true);
        }
        Browser {
            client: building
                .build()
                .expect("nothing in these settings can be refused"),
            places: None,
        }
    }

    /// A client that has at most this many requests under way.
    pub(super) fn shared(&self, size: usize) -> Browser {
        Browser {
            places: Some(Arc::new(Semaphore::new(size))),
            ..self.browser()
        }
    }

    /// The headers for this server.
    fn headers_for(&self, url: &Url) -> HeaderMap {
        let mut headers = self.headers.clone();
        // What was meant for TLS is not sent in clear.
        let is_named = self.named.iter().any(|(host, secure)| {
            url.host().is_some_and(|other| other.to_owned() == *host) && (is_secure(url) || !secure)
        });
        if !is_named {
            SECRET.iter().for_each(|name| drop(headers.remove(name)));
        }
        headers
    }
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

/// TLS that trusts whom this machine trusts. Without any, every certificate is refused.
fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of these versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tls
}

/// A request for one object.
pub(super) struct Asked<'a> {
    pub(super) url: Url,
    /// The bytes that are wanted; `None`: all.
    pub(super) span: Option<Span>,
    /// What the player reports about itself.
    pub(super) told: &'a [(&'static str, String)],
    pub(super) keep: Keep,
}

impl Browser {
    /// Sends the request, follows redirects, and reads the whole answer.
    pub(super) async fn get(
        &self,
        agent: &Agent,
        jar: &Jar,
        asked: Asked<'_>,
        clock: Clock,
        trace: &mut Trace,
        elsewhere: &Elsewhere,
    ) -> Result<Got, Failed> {
        let _place = match &self.places {
            Some(places) => Some(places.acquire().await.expect("it is never closed")),
            None => None,
        };
        let mut url = asked.url.clone();
        for hop in 0..=REDIRECTS_MAX {
            trace.sent.get_or_insert(clock.now());
            let request = self.request(agent, jar, &asked, url.clone());
            let response = request.send().await.map_err(|why| {
                if hop == 0 && why.is_connect() {
                    trace.sent = None;
                }
                Failed {
                    outcome: Outcome::Reset,
                    why: Some(why),
                }
            })?;
            elsewhere.on_answer(&url);
            let headers = response.headers();
            jar.set_cookies(&mut headers.get_all(header::SET_COOKIE).iter(), &url);
            if let Some(next) = redirected(&response, &url) {
                elsewhere.on_redirect();
                url = next;
                continue;
            }
            trace.first_byte = Some(clock.now());
            note_head(&response, trace);
            return receive(response, url, &asked, trace).await;
        }
        Err(Outcome::Status.into())
    }

    fn request(
        &self,
        agent: &Agent,
        jar: &Jar,
        asked: &Asked<'_>,
        url: Url,
    ) -> reqwest::RequestBuilder {
        let mut headers = agent.headers_for(&url);
        let own = headers.remove(header::COOKIE);
        let cookies = [own, jar.cookies(&url)].into_iter().flatten();
        let cookies: Vec<_> = cookies.map(|cookie| cookie.as_bytes().to_vec()).collect();
        // One line holds all of them (RFC 6265, section 5.4).
        if let (false, Ok(value)) = (
            cookies.is_empty(),
            HeaderValue::try_from(cookies.join(&b"; "[..])),
        ) {
            headers.insert(header::COOKIE, value);
        }
        if let Some(Span { from, bytes }) = asked.span {
            let last = from.saturating_add(bytes.saturating_sub(1));
            let value = HeaderValue::try_from(format!("bytes={from}-{last}"));
            headers.insert(header::RANGE, value.expect("it holds digits"));
            // A range of the bytes themselves, not of their compressed form.
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            );
        }
        let told = asked.told.iter().map(|(name, value)| {
            let value = HeaderValue::try_from(value.as_str());
            (HeaderName::from_static(name), value.expect("it is ASCII"))
        });
        headers.extend(told);
        self.client.get(url).headers(headers)
    }
}

/// Where this answer sends the viewer.
fn redirected(response: &Response, from: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?;
    // Many servers write UTF-8 here.
    let location = std::str::from_utf8(location.as_bytes()).ok()?;
    let next = from.join(location).ok()?;
    matches!(next.scheme(), "http" | "https").then_some(next)
}

/// The last line of a header.
fn text_of<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let value = response.headers().get_all(name).iter().next_back()?;
    value.to_str().ok().map(str::trim)
}

fn note_head(response: &Response, trace: &mut Trace) {
    let text = |name: &str| text_of(response, name);
    trace.status = response.status().as_u16();
    trace.word = cache_status::word_of(text);
    trace.retry_after = text("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs);
    // The last number of `bytes 0-99/1000`.
    let whole = text("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    trace.whole_bytes = whole.filter(|_| trace.status == 206);
}

async fn receive(
    mut response: Response,
    url: Url,
    asked: &Asked<'_>,
    trace: &mut Trace,
) -> Result<Got, Failed> {
    // A playlist has no parts, and a part must be the one that was asked for (RFC 9110, section 15.3.7).
    let begins = text_of(&response, "content-range").and_then(|range| {
        let (from, _) = range.strip_prefix("bytes ")?.split_once('-')?;
        from.trim().parse::<u64>().ok()
    });
    let is_part =
        trace.status == 206 && begins.is_some() && begins == asked.span.map(|span| span.from);
    if trace.status != 200 && !is_part {
        return Err(Outcome::Status.into());
    }
    let (mut text, mut body) = (Vec::new(), Crc::new());
    while let Some(chunk) = response.chunk().await.map_err(truncated)? {
        trace.bytes += chunk.len() as u64;
        match asked.keep {
            Keep::Text if text.len() + chunk.len() > PLAYLIST_BYTES_MAX => {
                return Err(Outcome::Unreadable.into());
            }
            Keep::Text => text.extend_from_slice(&chunk),
            Keep::Checksum => body.update(&chunk),
        }
    }
    // A segment, a header or a key without a byte is none.
    if asked.keep == Keep::Checksum && body.amount() == 0 {
        return Err(Outcome::Truncated.into());
    }
    let wanted = asked.span.map(|span| span.bytes);
    Ok(Got {
        url,
        text,
        is_part: is_part && wanted == Some(u64::from(body.amount())),
        body,
    })
}

fn truncated(why: reqwest::Error) -> Failed {
    Failed {
        outcome: Outcome::Truncated,
        why: Some(why),
    }
}
