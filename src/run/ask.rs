//! One request to a running component of Seawall: JSON over HTTP, bounded in time and size.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::serve::token::Token;

/// The component answered, but not with the requested document.
#[derive(Debug, thiserror::Error)]
pub enum Unwanted {
    /// A status other than 200.
    #[error("{url} answered {status}: {said}")]
    Status {
        /// The URL of the request.
        url: String,
        /// The status of the answer.
        status: StatusCode,
        /// The text of the answer.
        said: String,
    },
    /// The answer is another document.
    #[error("{url} answered something else than was asked for")]
    Document {
        /// The URL of the request.
        url: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Gets a document.
///
/// # Errors
/// No answer in time, or another answer than requested ([`Unwanted`]).
pub async fn get_json<T: DeserializeOwned>(url: &str) -> anyhow::Result<T> {
    json(Method::GET, url, None).await
}

/// Sends a POST request and gets the answer as a document.
///
/// # Errors
/// The same as for [`get_json`].
pub async fn post_json<T: DeserializeOwned>(url: &str, token: &Token) -> anyhow::Result<T> {
    json(Method::POST, url, Some(token)).await
}

/// Gets the body of any document.
///
/// # Errors
/// No answer in time, or a status other than 200.
pub async fn get_bytes(url: &str) -> anyhow::Result<Bytes> {
    bytes(Method::GET, url, None).await
}

async fn json<T: DeserializeOwned>(
    method: Method,
    url: &str,
    token: Option<&Token>,
) -> anyhow::Result<T> {
    let document = bytes(method, url, token).await?;
    serde_json::from_slice(&document).map_err(|source| {
        let url = url.to_owned();
        Unwanted::Document { url, source }.into()
    })
}

async fn bytes(method: Method, url: &str, token: Option<&Token>) -> anyhow::Result<Bytes> {
    const BYTES_MAX: usize = 16 << 20;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut request = http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        let value = token
            .authorization()
            .context("the token holds a byte that no header may hold")?;
        request = request.header(http::header::AUTHORIZATION, value);
    }
    let request = request
        .body(Empty::new())
        .with_context(|| format!("{url:?} is no URL"))?;
    let asking = async {
        let asked = client.request(request).await;
        let response = asked.with_context(|| format!("{url} cannot be asked"))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BYTES_MAX)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("{url} broke off: {error}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    let (status, body) = tokio::time::timeout(Duration::from_secs(5), asking)
        .await
        .context("no answer within 5 s")??;
    if status != StatusCode::OK {
        let said = String::from_utf8_lossy(&body).trim().to_owned();
        let url = url.to_owned();
        return Err(Unwanted::Status { url, status, said }.into());
    }
    Ok(body)
}
