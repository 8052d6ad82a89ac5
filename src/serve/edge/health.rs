//! Health checks of the servers upstream, where there are several. A server that doesn't answer is passed over before
//! any viewer has waited for it.
//!
//! The circuit breaker judges by fetches, so it opens only after failures, and at a silent server each failure costs a
//! time-out. A check costs no viewer anything. Every Seawall answers the check by itself, and any other server answers
//! it somehow. An answer of any status counts.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::node::Edge;

/// The pause from the end of one check of a server to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an answer may take. A server that is merely slow is left to the breaker.
const ANSWER: Duration = Duration::from_secs(1);
/// Failed checks in a row until a server is passed over. One answered check brings the server back.
const FAILURES: u32 = 2;

impl Edge {
    /// Checks the health of every server upstream until `stop`, where there are several.
    pub async fn see_to_health(self: Arc<Self>, stop: CancellationToken) {
        let servers: Vec<_> = self.upstream.servers().collect();
        if servers.len() < 2 {
            return;
        }
        let checks = servers.into_iter().map(|server| {
            let edge = &self;
            async move {
                let mut failed = 0;
                loop {
                    let asking = edge.upstream.ask_for_health(server);
                    let answered = tokio::time::timeout(ANSWER, asking).await;
                    failed = match answered {
                        Ok(Ok(())) => 0,
                        _ => failed + 1,
                    };
                    let is_down = failed >= FAILURES;
                    if edge.upstream.set_down(server, is_down) != is_down {
                        let authority = edge.upstream.authority_of(server);
                        if is_down {
                            tracing::warn!(
                                edge = edge.name,
                                "{authority} does not answer and is passed over"
                            );
                        } else {
                            tracing::info!(edge = edge.name, "{authority} answers again");
                        }
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        let _: Option<Vec<()>> = stop
            .run_until_cancelled(futures_util::future::join_all(checks))
            .await;
    }
}
