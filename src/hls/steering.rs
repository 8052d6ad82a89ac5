//! Content steering (RFC 8216bis, section 7): the same stream by several pathways, and the manifest that says which of them players
//! prefer.
//!
//! Without pathways a channel's playlists are plain. With pathways its multivariant playlist lists every rendition several times:
//! once without a name (pathway "."), with an address on the server that the player has asked, and once for each pathway. The
//! manifest puts "." first. The other pathways rotate every second: the viewers of a lost server then spread over all remaining
//! servers.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::names::is_name;
use crate::time::UnixTime;

/// The pathway of variants without a name (section 4.4.6.2).
pub const HERE: &str = ".";

/// How long caches may keep a manifest, in seconds. The pathways rotate once in this time.
pub const FRESH_S: u32 = 1;

/// Another way to the same stream, written `NAME=URL`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pathway {
    /// PATHWAY-ID.
    pub id: String,
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
}

impl FromStr for Pathway {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (id, url) = text.split_once('=')?;
            let parsed = Url::parse(url).ok()?;
            let is_base = matches!(parsed.scheme(), "http" | "https")
                && parsed.has_host()
                && parsed.username().is_empty()
                && parsed.path() == "/"
                && parsed.query().is_none();
            (is_name(id) && is_base).then(|| Self {
                id: id.to_owned(),
                url: url.trim_end_matches('/').to_owned(),
            })
        };
        parse().ok_or_else(|| {
            format!("{text:?} is not NAME=URL, such as paris=http://paris.example:8081")
        })
    }
}

impl TryFrom<String> for Pathway {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Pathway> for String {
    fn from(pathway: Pathway) -> Self {
        format!("{}={}", pathway.id, pathway.url)
    }
}

/// The pathways of an origin's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pathways {
    /// All of them; empty: players are not steered.
    pub list: Vec<Pathway>,
    /// How long players keep a manifest, in seconds.
    pub ttl_s: u32,
}

impl Default for Pathways {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            ttl_s: 300,
        }
    }
}

/// A steering manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub struct Manifest {
    version: u32,
    #[serde(default = "usual_ttl")]
    ttl: u64,
    #[serde(rename = "PATHWAY-PRIORITY")]
    priority: Vec<String>,
}

fn usual_ttl() -> u64 {
    300
}

/// By how many places this number of pathways has rotated.
pub fn turn(now: UnixTime, pathways: usize) -> usize {
    let turned = now.as_millis() / 1_000 / u64::from(FRESH_S);
    usize::try_from(turned % pathways.max(1) as u64).unwrap_or(0)
}

impl Manifest {
    /// The manifest at this time.
    pub fn at(pathways: &Pathways, now: UnixTime) -> Self {
        let mut ids: Vec<_> = pathways
            .list
            .iter()
            .map(|pathway| pathway.id.clone())
            .collect();
        let turn = turn(now, ids.len());
        ids.rotate_left(turn);
        let here = std::iter::once(HERE.to_owned());
        Self {
            version: 1,
            ttl: pathways.ttl_s.into(),
            priority: here.chain(ids).collect(),
        }
    }

    /// Reads a manifest; `None` if it is none of version 1, or names no pathway.
    pub fn read(text: &[u8]) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(text).ok()?;
        (manifest.version == 1 && !manifest.priority.is_empty()).then_some(manifest)
    }

    /// The manifest as JSON.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// How long a player keeps it.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl.clamp(1, 86_400))
    }

    /// PATHWAY-IDs, the preferred first.
    pub fn priority(&self) -> &[String] {
        &self.priority
    }
}

/// The multivariant playlist of a channel with pathways, made of the one without.
pub fn with_pathways(multivariant: &str, channel: &str, pathways: &Pathways) -> String {
    if pathways.list.is_empty() {
        return multivariant.to_owned();
    }
    let mut text = String::with_capacity(multivariant.len() * (pathways.list.len() + 1));
    let mut variants = Vec::new();
    let mut lines = multivariant.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        if line == "#EXTM3U" {
            text += &format!(
                "#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\"{HERE}\"\n"
            );
        }
        if line.starts_with("#EXT-X-STREAM-INF:")
            && let Some(uri) = lines.next()
        {
            text.push_str(uri);
            text.push('\n');
            variants.push((line, uri));
        }
    }
    for Pathway { id, url } in &pathways.list {
        for (tag, uri) in &variants {
            text += &format!("{tag},PATHWAY-ID=\"{id}\"\n{url}/live/{channel}/{uri}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pathways() -> Pathways {
        let list = [
            "edge-1=http://127.0.0.1:8081",
            "edge-2=https://two.example/",
        ];
        Pathways {
            list: list.map(|text| text.parse().unwrap()).into(),
            ttl_s: 10,
        }
    }

    #[test]
    fn every_pathway_lists_every_rendition() {
        let plain = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH=1\n180p/media.m3u8\n";
        assert_eq!(with_pathways(plain, "demo", &Pathways::default()), plain);
        assert_eq!(
            with_pathways(plain, "demo", &pathways()),
            "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering.json\",PATHWAY-ID=\".\"\n#EXT-X-VERSION:3\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1\n180p/media.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"edge-1\"\nhttp://127.0.0.1:8081/live/demo/180p/media.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"edge-2\"\nhttps://two.example/live/demo/180p/media.m3u8\n"
        );
    }

    #[test]
    fn the_order_of_the_others_turns_every_second() {
        let at = |seconds: u64| {
            let manifest = Manifest::at(&pathways(), UnixTime::from_millis(seconds * 1_000));
            Manifest::read(manifest.text().as_bytes()).unwrap()
        };
        assert_eq!(at(0).priority(), [".", "edge-1", "edge-2"]);
        assert_eq!(at(1).priority(), [".", "edge-2", "edge-1"]);
        assert_eq!(at(2), at(0));
        assert_eq!(at(0).ttl(), Duration::from_secs(10));
        assert!(
            at(0)
                .text()
                .starts_with("{\"VERSION\":1,\"TTL\":10,\"PATHWAY-PRIORITY\":[\".\"")
        );
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            "{\"VERSION\":2,\"PATHWAY-PRIORITY\":[\"a\"]}",
            "{\"VERSION\":1,\"PATHWAY-PRIORITY\":[]}",
        ] {
            assert_eq!(Manifest::read(text.as_bytes()), None, "{text}");
        }
        let usual = Manifest::read(b"{\"VERSION\":1,\"PATHWAY-PRIORITY\":[\"a\"]}").unwrap();
        assert_eq!(usual.ttl(), Duration::from_secs(300));
        for text in [
            "edge-1",
            "=http://h",
            "a=ftp://h",
            "a=http://h/path",
            "a b=http://h",
        ] {
            assert!(text.parse::<Pathway>().is_err(), "{text}");
        }
    }
}
