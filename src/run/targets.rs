//! Running edges: the meaning of their URLs, and the streams that can be watched there.

use anyhow::{Context, bail};
use url::Url;

use crate::config::redacted;
use crate::hls::names::LivePath;
use crate::hls::reader::{self, MediaFacts, Unreadable, Variant};
use crate::hls::timeline::Channel;
use crate::load::Stream;
use crate::run::ask;

/// An edge to play at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `http://HOST:PORT`.
    pub base: String,
    /// Path and query of a playlist there; `None` for an edge of Seawall.
    pub playlist: Option<String>,
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// The text is no `http://` URL.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let refused = "try something like http://127.0.0.1:8081, or the URL of a playlist";
        let shown = redacted::url(url);
        let parsed = Url::parse(url).with_context(|| format!("{shown:?} is no URL; {refused}"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            bail!("{shown}: no name and password can be sent; {refused}");
        }
        match (parsed.scheme(), parsed.host_str()) {
            ("http", Some(host)) => {
                let port = parsed
                    .port()
                    .map_or_else(String::new, |port| format!(":{port}"));
                let query = parsed
                    .query()
                    .map_or_else(String::new, |query| format!("?{query}"));
                let path = format!("{}{query}", parsed.path());
                Ok(Self {
                    base: format!("http://{host}{port}"),
                    playlist: Some(path).filter(|path| path != "/"),
                })
            }
            ("https", _) => {
                bail!(
                    "{shown}: Seawall speaks no TLS; play at the listener behind it, over http://"
                )
            }
            _ => bail!("{shown:?} is no URL with http:// in front; {refused}"),
        }
    }
}

/// The stream at these targets: the channel with this name if they are edges of Seawall, else the stream in their playlists.
///
/// # Errors
/// A target does not answer, or its answer is not HLS.
pub async fn stream_at(targets: &[Target], channel: &str) -> anyhow::Result<Stream> {
    let first = targets
        .first()
        .context("a surge needs at least one target")?;
    let paths: Vec<_> = targets
        .iter()
        .filter_map(|target| target.playlist.clone())
        .collect();
    if paths.is_empty() {
        let path = LivePath::Description { channel }.to_string();
        let described = ask::get_json::<Channel>(&format!("{}{path}", first.base)).await;
        let channel = described.with_context(|| {
            format!(
                "{} does not describe the channel {channel:?}; is it an edge of Seawall, and is --channel right? Of any other \
                 server give the URL of a playlist",
                first.base
            )
        })?;
        return Ok(Stream::Channels(vec![channel]));
    }
    if paths.len() < targets.len() {
        bail!(
            "either all targets are edges of Seawall (http://HOST:PORT), or all are URLs of playlists"
        );
    }
    if let Some(LivePath::Multivariant { channel }) = LivePath::parse(&paths[0]) {
        let path = LivePath::Description { channel }.to_string();
        if let Ok(described) = ask::get_json::<Channel>(&format!("{}{path}", first.base)).await {
            return Ok(Stream::Channels(vec![described]));
        }
    }
    foreign(&first.base, paths).await
}

async fn foreign(base: &str, paths: Vec<String>) -> anyhow::Result<Stream> {
    let path = &paths[0];
    let url = format!("{base}{path}");
    let text = ask::get_bytes(&url).await?;
    let (bandwidths_bps, facts) = match reader::media(&url, &text) {
        Ok(facts) if !facts.listed.is_empty() => (vec![0], facts),
        Ok(_) => bail!("{url} lists no segment yet"),
        Err(error @ Unreadable::ByteRanges) => return Err(error).context(url),
        _ => {
            let mut variants = reader::multivariant(&url, &text)
                .with_context(|| format!("{url} is no HLS playlist that can be played"))?;
            variants.sort_by_key(|variant| variant.bandwidth_bps);
            let facts = facts_of(base, &variants[0]).await?;
            let bandwidths = variants.iter().map(|variant| variant.bandwidth_bps);
            (bandwidths.collect(), facts)
        }
    };
    let newest = facts
        .listed
        .last()
        .context("the playlist lists no segment")?;
    if facts.ended {
        bail!("{url} has ended (EXT-X-ENDLIST): there is nothing live to surge at");
    }
    Ok(Stream::Foreign {
        segment_duration: newest.duration,
        paths,
        bandwidths_bps,
    })
}

async fn facts_of(base: &str, variant: &Variant) -> anyhow::Result<MediaFacts> {
    let url = format!("{base}{}", variant.path);
    let text = ask::get_bytes(&url).await?;
    reader::media(&url, &text)
        .with_context(|| format!("{url} is no media playlist that can be played"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_edge_or_a_playlist() {
        let edge = Target::parse("http://127.0.0.1:8081/").unwrap();
        assert_eq!(edge.playlist, None);
        let playlist = Target::parse("http://host/a/b.m3u8?token=1").unwrap();
        assert_eq!(playlist.base, "http://host");
        assert_eq!(playlist.playlist.as_deref(), Some("/a/b.m3u8?token=1"));
        let odd = Target::parse("HTTP://Host:80/a b.m3u8?x=/../1#t=3").unwrap();
        assert_eq!(odd.base, "http://host");
        assert_eq!(odd.playlist.as_deref(), Some("/a%20b.m3u8?x=/../1"));
        for url in [
            "https://host/a.m3u8",
            "host:80",
            "ftp://host/",
            "http://me:hunter2@host",
            "",
        ] {
            let refused = Target::parse(url).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
