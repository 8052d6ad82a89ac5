//! Programs that a benchmark starts, and that end with the benchmark.

use std::net::{SocketAddr, TcpListener};
use std::process::Child;

/// A process that ends when it is dropped.
pub(crate) struct Ends(pub(crate) Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that was free a moment ago; another program is unlikely to take it before the benchmark's program does.
pub(crate) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
