//! `seawall inspect` and `seawall purge`: an operator's questions and orders to a running edge.

use std::fmt::Write;

use anyhow::{Context, bail};
use http::Uri;

use crate::app::cli;
use crate::run::ask;
use crate::serve::edge::admin::operate::{Inspected, Purged};
use crate::serve::token::Token;
use crate::terminal;

/// Prints what an edge knows of the object at a URL.
///
/// # Errors
/// The URL is invalid, or its edge does not answer.
pub async fn inspect(flags: &cli::Inspect) -> anyhow::Result<u8> {
    let (admin, path) = admin_and_path(&flags.url, flags.admin.as_deref())?;
    let url = format!("{admin}/-/inspect?path={}", escaped(&path));
    let inspected: Inspected = ask::get_json(&url)
        .await
        .with_context(|| not_there(&admin))?;
    if flags.json {
        terminal::print(&format!("{}\n", serde_json::to_string_pretty(&inspected)?))?;
    } else {
        terminal::print(&told(&inspected))?;
    }
    Ok(cli::OK)
}

/// Purges one object, or all objects of a prefix or a channel.
///
/// # Errors
/// Nothing was named, the edge does not answer, or the token is wrong.
pub async fn purge(flags: &cli::Purge) -> anyhow::Result<u8> {
    let (admin, path) = admin_and_path(&flags.url, flags.admin.as_deref())?;
    let what = match (&flags.channel, flags.prefix) {
        (Some(channel), _) => format!("channel={}", escaped(channel)),
        (None, true) => format!("prefix={}", escaped(&path)),
        (None, false) => format!("path={}", escaped(&path)),
    };
    let soft = if flags.soft { "&soft=true" } else { "" };
    let token = Token::new(&flags.token);
    let url = format!("{admin}/-/purge?{what}{soft}");
    let purged: Purged = ask::post_json(&url, &token)
        .await
        .with_context(|| not_there(&admin))?;
    terminal::print(&format!("purged {}\n", purged.purged))?;
    Ok(cli::OK)
}

fn not_there(admin: &str) -> String {
    format!("cannot ask the admin listener at {admin}; is --admin right?")
}

/// The admin listener of an edge, and the path of the object. By default an edge's admin port is its own port plus a thousand.
fn admin_and_path(url: &str, admin: Option<&str>) -> anyhow::Result<(String, String)> {
    let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        bail!(
            "{url:?} is no URL of an edge; try something like http://127.0.0.1:8081/live/demo/main.m3u8"
        );
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let admin = match (admin, authority.port_u16()) {
        (Some(admin), _) => admin.trim_end_matches('/').to_owned(),
        (None, Some(port)) if port <= u16::MAX - 1_000 => {
            format!("http://{}:{}", authority.host(), port + 1_000)
        }
        (None, _) => bail!(
            "where is the admin listener of {authority}? Name it with --admin http://HOST:PORT"
        ),
    };
    Ok((admin, path.to_owned()))
}

/// A value for a query, with all characters escaped that have a meaning there.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

fn told(inspected: &Inspected) -> String {
    let mut text = format!("{} ({})\n", inspected.path, inspected.kind);
    let seconds = |millis: u64| millis as f64 / 1_000.0;
    let mut line = |what: &str, said: String| {
        let _ = writeln!(text, "  {what:<13} {said}");
    };
    match &inspected.object {
        None => line("stored", "nothing".to_owned()),
        Some(object) => line(
            "stored",
            format!(
                "{}, {} bytes, {:.1} s old, ttl {} s, etag {}",
                object.state,
                object.bytes,
                seconds(object.age_ms),
                object.ttl_s,
                object.etag.as_deref().unwrap_or("none"),
            ),
        ),
    }
    if let Some(failure) = &inspected.failure {
        let times = failure.in_a_row;
        let left = seconds(failure.for_ms);
        line(
            "failure",
            format!(
                "{} is answered for {left:.2} s more; {times} in a row",
                failure.status
            ),
        );
    }
    if let Some(millis) = inspected.pass_for_ms {
        line(
            "pass",
            format!("not shared for {:.0} s more", seconds(millis)),
        );
    }
    match &inspected.flight {
        None => line("flight", "none".to_owned()),
        Some(flight) => line(
            "flight",
            format!(
                "generation {}, {} waiting, {} followers so far, {} bytes in",
                flight.generation, flight.waiters, flight.followers, flight.bytes
            ),
        ),
    }
    if let Some(landing) = &inspected.last_landing {
        let generation = landing.generation.map_or_else(String::new, |generation| {
            format!(", generation {generation}")
        });
        line(
            "last landing",
            format!(
                "{}, {:.1} s ago{generation}",
                landing.outcome,
                seconds(landing.ago_ms)
            ),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_listener_is_a_thousand_ports_above_unless_it_is_named() {
        let of = |url, admin| admin_and_path(url, admin).unwrap();
        let url = "http://127.0.0.1:8081/live/demo/main.m3u8?a=b";
        let path = "/live/demo/main.m3u8?a=b".to_owned();
        assert_eq!(
            of(url, None),
            ("http://127.0.0.1:9081".to_owned(), path.clone())
        );
        assert_eq!(
            of(url, Some("http://10.0.0.1:1/")),
            ("http://10.0.0.1:1".to_owned(), path)
        );
        assert!(admin_and_path("http://edge/x", None).is_err());
        assert!(admin_and_path("/x", None).is_err());
    }

    #[test]
    fn values_are_escaped() {
        assert_eq!(escaped("/a?b=c&d e"), "/a%3Fb%3Dc%26d%20e");
    }
}
