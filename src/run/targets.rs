//! Running edges: the meaning of their URLs, and the streams that can be watched there.

use std::time::Duration;

use anyhow::{Context, bail};
use url::Url;

use crate::config::redacted;
use crate::hls::names::LivePath;
use crate::hls::reader::{self, MediaFacts, TrackKind};
use crate::hls::timeline::Channel;
use crate::load::{Scout, Stream, UserAgent};
use crate::run::ask;
use crate::serve::clock::Clock;

/// An edge to play at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `http://HOST:PORT`.
    pub base: String,
    /// The URL of a playlist there; `None` for an edge of Seawall.
    pub playlist: Option<Url>,
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// The text is no `http://` or `https://` URL, or it holds a password, or it means an edge of Seawall over TLS.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let refused = "try something like http://127.0.0.1:8081, or the URL of a playlist";
        let shown = redacted::url(url);
        let mut parsed =
            Url::parse(url).with_context(|| format!("{shown:?} is no URL; {refused}"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            bail!(
                "{shown}: a name and password in a URL end up in logs; send them with --header \"Authorization: Basic ...\""
            );
        }
        parsed.set_fragment(None);
        let is_playlist = parsed.path() != "/" || parsed.query().is_some();
        match (parsed.scheme(), is_playlist) {
            ("http", _) | ("https", true) if parsed.has_host() => Ok(Self {
                base: parsed.origin().ascii_serialization(),
                playlist: is_playlist.then_some(parsed),
            }),
            ("https", false) => bail!(
                "{shown}: edges of Seawall speak no TLS; of a listener in front of one, give the URL of a playlist"
            ),
            _ => bail!("{shown:?} is no URL with http:// or https:// in front; {refused}"),
        }
    }
}

/// Separates URLs in each text: at commas that another URL follows, because a URL may hold commas itself.
pub fn split(texts: &[String]) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for text in texts {
        for (nth, piece) in text.split(',').enumerate() {
            let begins = ["http://", "https://"].iter().any(|scheme| {
                let start = piece.trim_start().get(..scheme.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            });
            match urls.last_mut() {
                Some(url) if nth > 0 && !begins => {
                    url.push(',');
                    url.push_str(piece);
                }
                _ => urls.push(piece.trim().to_owned()),
            }
        }
    }
    urls
}

/// The stream at these targets: the channel with this name if they are edges of Seawall, else the stream in their playlists.
///
/// # Errors
/// A target does not answer, or its answer is not HLS.
pub async fn stream_at(
    targets: &[Target],
    channel: &str,
    user_agent: &UserAgent,
    clock: Clock,
) -> anyhow::Result<Stream> {
    let first = targets
        .first()
        .context("a surge needs at least one target")?;
    let urls: Vec<_> = targets
        .iter()
        .filter_map(|target| target.playlist.clone())
        .collect();
    if urls.is_empty() {
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
    if urls.len() < targets.len() {
        bail!(
            "either all targets are edges of Seawall (http://HOST:PORT), or all are URLs of playlists"
        );
    }
    let is_plain = user_agent.headers.is_empty() && urls[0].scheme() == "http";
    if let (true, Some(LivePath::Multivariant { channel })) =
        (is_plain, LivePath::parse(urls[0].path()))
    {
        let path = LivePath::Description { channel }.to_string();
        if let Ok(described) = ask::get_json::<Channel>(&format!("{}{path}", first.base)).await {
            return Ok(Stream::Channels(vec![described]));
        }
    }
    foreign(urls, user_agent, clock).await
}

async fn foreign(urls: Vec<Url>, user_agent: &UserAgent, clock: Clock) -> anyhow::Result<Stream> {
    let scout = Scout::new(user_agent, &urls, clock);
    let shown = redacted::url(urls[0].as_str());
    let (base, text) = get(&scout, &urls[0]).await?;
    let (bandwidths_bps, tracks, facts) = match reader::media(base.as_str(), &text) {
        Ok(facts) => (vec![0], Vec::new(), facts),
        Err(_) => {
            let mut offered = reader::multivariant(base.as_str(), &text)
                .with_context(|| format!("{shown} is no HLS playlist that can be played"))?;
            offered
                .variants
                .sort_by_key(|variant| variant.bandwidth_bps);
            let bandwidths = offered.variants.iter().map(|variant| variant.bandwidth_bps);
            let tracks = offered.tracks.iter().map(|track| match track.kind {
                TrackKind::Audio => format!("audio {}", track.name),
                TrackKind::Subtitles => format!("subtitles {}", track.name),
            });
            let facts = media(&scout, &offered, &offered.variants[0].path).await?;
            (bandwidths.collect(), tracks.collect(), facts)
        }
    };
    let newest = facts
        .listed
        .last()
        .with_context(|| format!("{shown} lists no segment yet"))?;
    Ok(Stream::Foreign {
        segment_duration: newest.duration,
        urls,
        bandwidths_bps,
        tracks,
        user_agent: user_agent.clone(),
    })
}

/// How long a server may take for a playlist before the run.
const PATIENCE: Duration = Duration::from_secs(10);

/// The text at this URL, and where it came from after redirects.
async fn get(scout: &Scout, url: &Url) -> anyhow::Result<(Url, Vec<u8>)> {
    let asked = tokio::time::timeout(PATIENCE, scout.get(url)).await;
    let shown = redacted::url(url.as_str());
    asked
        .with_context(|| format!("{shown} did not answer within {PATIENCE:?}"))?
        .with_context(|| format!("{shown} cannot be loaded"))
}

async fn media(
    scout: &Scout,
    offered: &reader::MultivariantFacts,
    path: &str,
) -> anyhow::Result<MediaFacts> {
    let url = Url::parse(path).with_context(|| format!("{path:?} is no URL"))?;
    let (base, text) = get(scout, &url).await?;
    reader::media_importing(base.as_str(), &text, &offered.variables)
        .with_context(|| format!("{url} is no media playlist that can be played"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_urls_are_separated_by_commas_and_may_hold_some() {
        let texts = [
            "http://a/,200k,400k,/main.m3u8, HTTPS://b/x,http://c".to_owned(),
            "http://d".to_owned(),
        ];
        assert_eq!(
            split(&texts),
            [
                "http://a/,200k,400k,/main.m3u8",
                "HTTPS://b/x",
                "http://c",
                "http://d"
            ]
        );
        assert_eq!(split(&["nonsense,more".to_owned()]), ["nonsense,more"]);
    }

    #[test]
    fn a_url_is_an_edge_or_a_playlist() {
        let edge = Target::parse("http://127.0.0.1:8081/").unwrap();
        assert_eq!(edge.playlist, None);
        for (url, base, playlist) in [
            (
                "http://host/a/b.m3u8?token=1",
                "http://host",
                "http://host/a/b.m3u8?token=1",
            ),
            (
                "HTTP://Host:80/a b.m3u8?x=/../1#t=3",
                "http://host",
                "http://host/a%20b.m3u8?x=/../1",
            ),
            (
                "https://host:8443/a.m3u8",
                "https://host:8443",
                "https://host:8443/a.m3u8",
            ),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.base, base);
            assert_eq!(target.playlist.unwrap().as_str(), playlist);
        }
        for url in [
            "https://host/",
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
