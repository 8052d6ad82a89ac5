//! The description of a channel: its text on disk and in answers, and which descriptions are refused. Pure functions.

use std::time::Duration;

use super::store_error::StoreError;
use crate::hls::names::is_name;
use crate::hls::timeline::{Channel, PARTS_PER_SEGMENT};
use crate::time::UnixTime;

/// The description of a channel, as the origin stores and sends it.
pub(super) fn text(channel: &Channel) -> String {
    let mut text = serde_json::to_string_pretty(channel).expect("a channel is plain data");
    text.push('\n');
    text
}

/// Refuses descriptions that no stream can follow or that exceed a bound.
pub(super) fn check(channel: &Channel, now: UnixTime) -> Result<(), StoreError> {
    let ladder = &channel.layout.ladder;
    let refuse = |why: &str| Err(StoreError::Description(why.to_owned()));
    if !is_name(&channel.name) {
        return refuse("its name must be 1 to 64 of a-z, 0-9, - and _");
    }
    if !PARTS_PER_SEGMENT.contains(&channel.layout.parts_per_segment) {
        let (least, most) = (PARTS_PER_SEGMENT.start(), PARTS_PER_SEGMENT.end());
        return refuse(&format!("parts_per_segment must be from {least} to {most}"));
    }
    if !(1..=16).contains(&ladder.len()) {
        return refuse("the ladder must have from 1 to 16 renditions");
    }
    for (index, rendition) in ladder.iter().enumerate() {
        let repeated = ladder[..index]
            .iter()
            .any(|other| other.name == rendition.name);
        if repeated || !is_name(&rendition.name) {
            return refuse("each rendition needs a name of its own: 1 to 64 of a-z, 0-9, - and _");
        }
        let sides = [rendition.width, rendition.height];
        if sides
            .iter()
            .any(|side| side % 2 != 0 || !(2..=8_192).contains(side))
        {
            return refuse("widths and heights must be even, from 2 to 8192 pixels");
        }
        if !(1..=60_000_000).contains(&rendition.bitrate_bps) {
            return refuse("bitrate_bps must be from 1 to 60000000");
        }
    }
    if channel.started_at > now + Duration::from_secs(60) {
        return refuse("started_at lies ahead by this clock; compare the clocks of both machines");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::timeline::Layout;

    const NOW: UnixTime = UnixTime::from_millis(1_700_000_000_000);

    fn channel() -> Channel {
        Channel {
            name: "demo".to_owned(),
            seed: 1,
            layout: Layout::default(),
            started_at: NOW,
        }
    }

    #[test]
    fn a_description_reads_back_as_itself() {
        assert!(check(&channel(), NOW).is_ok());
        let read: Channel = serde_json::from_str(&text(&channel())).unwrap();
        assert_eq!(read, channel());
    }

    #[test]
    fn descriptions_that_no_stream_can_follow_are_refused() {
        type Spoil = fn(&mut Channel);
        let cases: [(&str, Spoil); 8] = [
            ("its name", |channel| channel.name = "../etc".to_owned()),
            ("parts_per_segment", |channel| {
                channel.layout.parts_per_segment = 0
            }),
            ("ladder", |channel| channel.layout.ladder.clear()),
            ("a name of its own", |channel| {
                channel.layout.ladder[1].name = "180p".to_owned()
            }),
            ("a name of its own", |channel| {
                channel.layout.ladder[1].name = "..".to_owned()
            }),
            ("even", |channel| channel.layout.ladder[0].height = 181),
            ("bitrate_bps", |channel| {
                channel.layout.ladder[0].bitrate_bps = 0
            }),
            ("lies ahead", |channel| {
                channel.started_at = channel.started_at + Duration::from_secs(3_600);
            }),
        ];
        for (expected, spoil) in cases {
            let mut channel = channel();
            spoil(&mut channel);
            let message = check(&channel, NOW).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
