//! The admin listener's routes: metrics for Prometheus, health for whoever supervises.

use std::sync::Arc;

use warp::Filter;

use super::metrics::Registry;

/// Whether a room is ready to serve; else the sentence that says why not.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// `GET /metrics`, `/healthz` (the process answers) and `/readyz` (503 with the reason until it is ready).
pub fn routes(
    registry: Registry,
    readiness: Readiness,
) -> impl Filter<Extract = (impl warp::Reply,), Error = warp::Rejection> + Clone + Send + Sync + 'static
{
    let metrics = warp::path!("metrics").map(move || {
        http::Response::builder()
            .header(http::header::CONTENT_TYPE, "text/plain; version=0.0.4")
            .body(registry.render())
            .expect("the head is made of constants")
    });
    let healthz = warp::path!("healthz").map(|| answer(http::StatusCode::OK, "ok\n".to_owned()));
    let readyz = warp::path!("readyz").map(move || match readiness() {
        Ok(()) => answer(http::StatusCode::OK, "ready\n".to_owned()),
        Err(why) => answer(
            http::StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {why}\n"),
        ),
    });
    warp::get().and(metrics.or(healthz).unify().or(readyz).unify())
}

fn answer(status: http::StatusCode, text: String) -> http::Response<Vec<u8>> {
    http::Response::builder()
        .status(status)
        .header(http::header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(text.into_bytes())
        .expect("the head is made of constants")
}
