//! A state as bytes. A node starts from it instead of the whole log. Its hash tells whether two states are equal.
//!
//! ```text
//! magic "SWLS" | version u8 | crc32c u32 of all that follows | cursor | counted
//! cursor:   position varint | writers: count, then each writer u64, epoch varint, number varint
//! counted:  sequence | keys: count, then each digest and action, the oldest first | channels: count, then each
//! channel:  name | sequence | closed u8 | hearts | viewers: count, then each name, sequence, likes u8, hearts
//! ```
//! Everything is sorted, so a state has only one encoding. The hash excludes the cursor. So it is the same for the same
//! operations in the same order, in any log and however they were cut into batches.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::fold::{Channel, Life, Rules, State, Viewer};
use super::operation::Action;
use super::varint::{Malformed, Reader, put, put_text};
use super::window::Window;

const MAGIC: [u8; 4] = *b"SWLS";
const VERSION: u8 = 1;
const HEADER: usize = 4 + 1 + 4;

/// The hash of the counted part of a state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// Why bytes are no valid snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes do not begin like a snapshot.
    #[error("these bytes are no snapshot of likes")]
    Magic,
    /// A later version of the program wrote them.
    #[error("version {0} of the format is not known here: read it with the program that wrote it")]
    Version(u8),
    /// The bytes are damaged.
    #[error("its checksum does not hold")]
    Checksum,
    /// The checksum holds, but the encoding is wrong.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The checksum holds, but a value is not allowed.
    #[error("{0}")]
    Invalid(&'static str),
}

/// The hash of a state.
pub fn hash(state: &State) -> Hash {
    let mut counted = Vec::new();
    put_counted(&mut counted, state);
    Hash(Sha256::digest(&counted).into())
}

/// The bytes of a state, and its hash.
pub fn encode(state: &State) -> (Vec<u8>, Hash) {
    let mut bytes = Vec::with_capacity(64 * 1024);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&[0; 4]);
    put(&mut bytes, state.position);
    put(&mut bytes, state.writers.len() as u64);
    for (writer, life) in &state.writers {
        bytes.extend_from_slice(&writer.to_le_bytes());
        put(&mut bytes, life.epoch);
        put(&mut bytes, life.number);
    }
    let counted = bytes.len();
    put_counted(&mut bytes, state);
    let hash = Hash(Sha256::digest(&bytes[counted..]).into());
    let sum = crc32c::crc32c(&bytes[HEADER..]);
    bytes[5..HEADER].copy_from_slice(&sum.to_le_bytes());
    (bytes, hash)
}

/// Decodes a state that continues under `rules`.
///
/// # Errors
/// The first error found in the bytes.
pub fn decode(bytes: &[u8], rules: Rules) -> Result<State, SnapshotError> {
    if bytes.len() < HEADER || bytes[..4] != MAGIC {
        return Err(SnapshotError::Magic);
    }
    if bytes[4] != VERSION {
        return Err(SnapshotError::Version(bytes[4]));
    }
    let mut rest = Reader(&bytes[5..]);
    if u32::from_le_bytes(rest.array()?) != crc32c::crc32c(rest.0) {
        return Err(SnapshotError::Checksum);
    }
    let mut state = State::new(rules);
    state.position = rest.number()?;
    for _ in 0..rest.number()? {
        let writer = u64::from_le_bytes(rest.array()?);
        let life = Life {
            epoch: rest.number()?,
            number: rest.number()?,
        };
        state.writers.insert(writer, life);
    }
    state.sequence = rest.number()?;
    for _ in 0..rest.number()? {
        let digest = rest.array()?;
        let action = match rest.number()? {
            0 => Action::Like,
            1 => Action::Unlike,
            hearts => Action::Hearts(narrow(hearts - 1)?),
        };
        state.keys.remember(digest, action, rules.keys_max);
    }
    for _ in 0..rest.number()? {
        let name: Arc<str> = rest.text()?.into();
        let channel = read_channel(&mut rest)?;
        state.channels.insert(name, channel);
    }
    if rest.0.is_empty() {
        Ok(state)
    } else {
        Err(SnapshotError::Invalid("more follows behind its end"))
    }
}

fn put_counted(bytes: &mut Vec<u8>, state: &State) {
    put(bytes, state.sequence);
    let keys = state.keys.iter();
    put(bytes, keys.len() as u64);
    for (digest, action) in keys {
        bytes.extend_from_slice(digest);
        put(
            bytes,
            match action {
                Action::Like => 0,
                Action::Unlike => 1,
                Action::Hearts(count) => u64::from(count) + 1,
            },
        );
    }
    let mut channels: Vec<_> = state.channels.iter().collect();
    channels.sort_unstable_by_key(|(name, _)| *name);
    put(bytes, channels.len() as u64);
    for (name, channel) in channels {
        put_text(bytes, name);
        put(bytes, channel.sequence);
        bytes.push(channel.closed.into());
        put(bytes, channel.hearts);
        put_viewers(bytes, &channel.viewers);
    }
}

fn put_viewers(bytes: &mut Vec<u8>, viewers: &HashMap<Box<str>, Viewer>) {
    let mut viewers: Vec<_> = viewers.iter().collect();
    viewers.sort_unstable_by_key(|(name, _)| *name);
    put(bytes, viewers.len() as u64);
    for (name, viewer) in viewers {
        put_text(bytes, name);
        put(bytes, viewer.sequence);
        bytes.push(viewer.likes.into());
        let hearts = &viewer.hearts;
        put(bytes, hearts.newest);
        if hearts.newest > 0 {
            bytes.extend_from_slice(&hearts.seen.to_le_bytes());
            put(bytes, hearts.newest_count.into());
        }
    }
}

fn read_channel(rest: &mut Reader<'_>) -> Result<Channel, SnapshotError> {
    let mut channel = Channel {
        sequence: rest.number()?,
        closed: flag(rest)?,
        hearts: rest.number()?,
        ..Channel::default()
    };
    for _ in 0..rest.number()? {
        let name = rest.text()?.into();
        let (sequence, likes, newest) = (rest.number()?, flag(rest)?, rest.number()?);
        let hearts = if newest == 0 {
            Window::default()
        } else {
            Window {
                newest,
                seen: u64::from_le_bytes(rest.array()?),
                newest_count: narrow(rest.number()?)?,
            }
        };
        channel.likes += u64::from(likes);
        let viewer = Viewer {
            sequence,
            likes,
            hearts,
        };
        channel.viewers.insert(name, viewer);
    }
    Ok(channel)
}

fn flag(rest: &mut Reader<'_>) -> Result<bool, SnapshotError> {
    match rest.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(SnapshotError::Invalid("a flag is neither 0 nor 1")),
    }
}

fn narrow(number: u64) -> Result<u32, SnapshotError> {
    u32::try_from(number).map_err(|_| SnapshotError::Invalid("a number is too large"))
}

impl Hash {
    /// Parses the text that [`Display`](std::fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Header;
    use super::super::operation::{Change, Identity, Operation};
    use super::*;

    fn sample() -> State {
        let mut state = State::default();
        let close = Operation {
            channel: "two".into(),
            change: Change::Close,
        };
        let key = Identity::Key("k".into());
        let operations = [
            Operation::update("demo", "bob", Identity::Sequence(7), Action::Like),
            Operation::update("demo", "ann", Identity::Sequence(2), Action::Hearts(3)),
            Operation::update("two", "ann", key, Action::Hearts(4)),
            close,
        ];
        let header = Header {
            writer: 9,
            epoch: 1,
            number: 1,
        };
        state.apply(1, header, &operations).unwrap();
        state
    }

    #[test]
    fn a_state_reads_back_as_itself_and_its_bytes_never_change() {
        let (bytes, hashed) = encode(&sample());
        assert_eq!(decode(&bytes, Rules::default()).unwrap(), sample());
        assert_eq!(hash(&sample()), hashed);
        assert_eq!(Hash::parse(&hashed.to_string()), Some(hashed));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, [
                "53574c53014ac96f1301010900000000000000010104010ffdf656c9de07f68e0eb89bec6797bc05020464656d6f0200",
                "030203616e6e00000201000000000000000303626f620701000374776f04010400",
            ]
            .concat());
        assert_eq!(
            hashed.to_string(),
            "56530f67bbf75d528b71730dd59392e39ed7ac24368274ff12fb817ec39ec3cb"
        );
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_seen() {
        let (bytes, _) = encode(&sample());
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(decode(&flipped, Rules::default()).is_err(), "bit {at}");
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], Rules::default()).is_err());
        }
    }

    #[test]
    fn the_hash_says_nothing_of_the_log_and_everything_of_the_counts() {
        let like =
            |viewer: &str| Operation::update("demo", viewer, Identity::Sequence(1), Action::Like);
        let header = |writer, number| Header {
            writer,
            epoch: 1,
            number,
        };
        let mut one = State::default();
        one.apply(1, header(1, 1), &[like("a"), like("b")]).unwrap();
        let mut two = State::default();
        two.apply(1, header(2, 1), &[like("a")]).unwrap();
        two.apply(2, header(2, 1), &[like("a")]).unwrap();
        assert_ne!(hash(&one), hash(&two));
        two.apply(3, header(3, 1), &[like("b")]).unwrap();
        assert_eq!(hash(&one), hash(&two));
    }
}
