//! A batch as bytes: the unit of durability, in the same format for every log.
//!
//! ```text
//! magic "SWLK" | version u8 | writer u64 | epoch u64 | number u64 | count u32 | crc32c u32 | body
//! body:    channels: varint, then each a text             each used, in the order of first use
//!          records: `count` of them
//! record:  kind u8 | channel varint | viewer text | identity: varint, or a text if kind has KEYED | hearts varint
//! text:    length varint | UTF-8
//! ```
//! Fixed numbers are little-endian. The checksum covers every byte except itself. A batch has only one encoding: a
//! decoded batch encodes to the same bytes, and any other bytes are refused, unknown versions first.

use std::collections::HashMap;
use std::sync::Arc;

use super::operation::{Action, Change, Identity, Operation, Update};
use super::varint::{Malformed, Reader, put, put_text};

/// The most operations of one batch.
pub const OPERATIONS_MAX: usize = 4_096;
/// The most bytes of one batch.
pub const BYTES_MAX: usize = 256 * 1024;

/// The most bytes that any valid operation may add: a new channel, a record, and the growth of the channel count.
pub(super) const ROOM: usize = 256;

const MAGIC: [u8; 4] = *b"SWLK";
const VERSION: u8 = 1;
const CRC_AT: usize = 4 + 1 + 8 + 8 + 8 + 4;
const HEADER: usize = CRC_AT + 4;
const KEYED: u8 = 0x10;

/// Names one batch of one writer. It tells a batch that a log holds twice from two different batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The writer.
    pub writer: u64,
    /// Which life of that writer, counted from 1.
    pub epoch: u64,
    /// Which batch of that life, counted from 1 without a gap.
    pub number: u64,
}

impl Header {
    /// The header of bytes that begin like a batch, even if they are not a valid batch.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes.strip_prefix(&MAGIC)?.strip_prefix(&[VERSION])?);
        let mut number = || rest.array().ok().map(u64::from_le_bytes);
        Some(Self {
            writer: number()?,
            epoch: number()?,
            number: number()?,
        })
    }
}

/// Operations in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which batch it is.
    pub header: Header,
    /// The operations, 1 to [`OPERATIONS_MAX`].
    pub operations: Vec<Operation>,
}

/// Why bytes are no valid batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes do not begin like a batch.
    #[error("these bytes are no batch of likes")]
    Magic,
    /// A later version of the program wrote it.
    #[error("version {0} of the format is not known here: read it with the program that wrote it")]
    Version(u8),
    /// The bytes are longer than a batch may be.
    #[error("{0} bytes are more than a batch may have")]
    TooLong(usize),
    /// The bytes are damaged.
    #[error("its checksum is {found:08x}, but its bytes give {computed:08x}")]
    Checksum {
        /// The checksum in the header.
        found: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// The checksum holds, but the encoding is wrong.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The checksum holds, but a value is not allowed.
    #[error("{0}")]
    Invalid(&'static str),
}

/// A batch that is being filled.
#[derive(Debug, Default)]
pub struct Encoder {
    channels: HashMap<Arc<str>, u64>,
    dictionary: Vec<u8>,
    records: Vec<u8>,
    count: usize,
}

impl Encoder {
    /// Appends a valid operation, if it fits.
    pub fn push(&mut self, operation: &Operation) -> bool {
        debug_assert!(operation.is_valid(), "{operation:?}");
        if self.count == OPERATIONS_MAX || self.bytes() + ROOM > BYTES_MAX {
            return false;
        }
        self.count += 1;
        let next = self.channels.len() as u64;
        let index = match self.channels.get(&operation.channel) {
            Some(&index) => index,
            None => {
                self.channels.insert(operation.channel.clone(), next);
                put_text(&mut self.dictionary, &operation.channel);
                next
            }
        };
        put_record(&mut self.records, index, &operation.change);
        true
    }

    /// Number of operations in it.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Number of bytes so far.
    pub(super) fn bytes(&self) -> usize {
        HEADER + self.dictionary.len() + self.records.len()
    }

    /// The batch as bytes.
    pub fn finish(self, header: Header) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes() + 10);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        for number in [header.writer, header.epoch, header.number] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&(self.count as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        put(&mut bytes, self.channels.len() as u64);
        bytes.extend_from_slice(&self.dictionary);
        bytes.extend_from_slice(&self.records);
        let sum = checksum(&bytes);
        bytes[CRC_AT..HEADER].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

impl Batch {
    /// The batch as bytes; `None` if it holds more than a batch may.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut encoder = Encoder::default();
        let fits = self
            .operations
            .iter()
            .all(|operation| encoder.push(operation));
        fits.then(|| encoder.finish(self.header))
    }

    /// Decodes bytes that are exactly one batch.
    ///
    /// # Errors
    /// The first error found in the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER || bytes[..4] != MAGIC {
            return Err(BatchError::Magic);
        }
        let mut rest = Reader(&bytes[4..]);
        let version = rest.byte()?;
        if version != VERSION {
            return Err(BatchError::Version(version));
        }
        if bytes.len() > BYTES_MAX {
            return Err(BatchError::TooLong(bytes.len()));
        }
        let header = Header {
            writer: u64::from_le_bytes(rest.array()?),
            epoch: u64::from_le_bytes(rest.array()?),
            number: u64::from_le_bytes(rest.array()?),
        };
        let count = u32::from_le_bytes(rest.array()?) as usize;
        let (found, computed) = (u32::from_le_bytes(rest.array()?), checksum(bytes));
        if found != computed {
            return Err(BatchError::Checksum { found, computed });
        }
        if header.epoch == 0 || header.number == 0 {
            return Err(BatchError::Invalid("epochs and numbers count from 1"));
        }
        if !(1..=OPERATIONS_MAX).contains(&count) {
            return Err(BatchError::Invalid("it holds too many operations, or none"));
        }
        let operations = read_body(&mut rest, count)?;
        if !rest.0.is_empty() {
            return Err(BatchError::Invalid("more follows behind the last record"));
        }
        Ok(Self { header, operations })
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), &bytes[HEADER..])
}

fn put_record(bytes: &mut Vec<u8>, channel: u64, change: &Change) {
    let update = match change {
        Change::Close | Change::Reopen => {
            bytes.push(if *change == Change::Close { 3 } else { 4 });
            return put(bytes, channel);
        }
        Change::Update(update) => update,
    };
    let keyed = match update.identity {
        Identity::Sequence(_) => 0,
        Identity::Key(_) => KEYED,
    };
    bytes.push(
        keyed
            | match update.action {
                Action::Like => 0,
                Action::Unlike => 1,
                Action::Hearts(_) => 2,
            },
    );
    put(bytes, channel);
    put_text(bytes, &update.viewer);
    match &update.identity {
        Identity::Sequence(sequence) => put(bytes, *sequence),
        Identity::Key(key) => put_text(bytes, key),
    }
    if let Action::Hearts(count) = update.action {
        put(bytes, count.into());
    }
}

fn read_body(rest: &mut Reader<'_>, count: usize) -> Result<Vec<Operation>, BatchError> {
    let names = rest.number()?;
    if names > count as u64 {
        return Err(BatchError::Invalid("a channel is never used"));
    }
    let mut channels: Vec<Arc<str>> = Vec::new();
    for _ in 0..names {
        let name = rest.text()?;
        channels.push(name.into());
    }
    if channels
        .iter()
        .collect::<std::collections::HashSet<_>>()
        .len()
        != channels.len()
    {
        return Err(BatchError::Invalid("a channel stands there twice"));
    }
    let mut operations = Vec::with_capacity(count);
    let mut used = 0;
    for _ in 0..count {
        let kind = rest.byte()?;
        let index = rest.number()?;
        if index > used || index >= names {
            return Err(BatchError::Invalid("channels are not in the order of use"));
        }
        used = used.max(index + 1);
        let operation = Operation {
            channel: channels[index as usize].clone(),
            change: read_change(rest, kind)?,
        };
        if !operation.is_valid() {
            return Err(BatchError::Invalid("an operation is out of range"));
        }
        operations.push(operation);
    }
    if used != names {
        return Err(BatchError::Invalid("a channel is never used"));
    }
    Ok(operations)
}

fn read_change(rest: &mut Reader<'_>, kind: u8) -> Result<Change, BatchError> {
    match kind {
        3 => return Ok(Change::Close),
        4 => return Ok(Change::Reopen),
        _ if kind & !KEYED > 2 => return Err(BatchError::Invalid("a record is of no known kind")),
        _ => {}
    }
    let viewer = rest.text()?.into();
    let identity = match kind & KEYED {
        0 => Identity::Sequence(rest.number()?),
        _ => Identity::Key(rest.text()?.into()),
    };
    let action = match kind & !KEYED {
        0 => Action::Like,
        1 => Action::Unlike,
        _ => {
            let hearts = rest.number()?;
            let hearts =
                u32::try_from(hearts).map_err(|_| BatchError::Invalid("too many hearts"))?;
            Action::Hearts(hearts)
        }
    };
    Ok(Change::Update(Update {
        viewer,
        identity,
        action,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER_OF_TESTS: Header = Header {
        writer: 0x0123_4567_89ab_cdef,
        epoch: 2,
        number: 3,
    };

    fn like(viewer: &str, sequence: u64) -> Operation {
        Operation::update("demo", viewer, Identity::Sequence(sequence), Action::Like)
    }

    fn sample() -> Batch {
        let key = Identity::Key("k-1".into());
        let close = Operation {
            channel: "two".into(),
            change: Change::Close,
        };
        let reopen = Operation {
            channel: "two".into(),
            change: Change::Reopen,
        };
        let operations = vec![
            like("ann", 1),
            Operation::update("two", "bob", key, Action::Hearts(300)),
            Operation::update("demo", "ann", Identity::Sequence(200), Action::Unlike),
            close,
            reopen,
        ];
        Batch {
            header: HEADER_OF_TESTS,
            operations,
        }
    }

    #[test]
    fn the_bytes_never_change() {
        let bytes = sample().encode().unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, [
                "53574c4b01efcdab896745230102000000000000000300000000000000050000003b0e8c2e020464656d6f0374776f00",
                "0003616e6e01120103626f62036b2d31ac02010003616e6ec80103010401",
            ]
            .concat());
        assert_eq!(Batch::decode(&bytes).unwrap(), sample());
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = sample().encode().unwrap();
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(Batch::decode(&flipped).is_err(), "bit {at}");
        }
        for length in 0..bytes.len() {
            assert!(Batch::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn an_unknown_version_is_refused_whatever_follows() {
        let mut bytes = sample().encode().unwrap();
        bytes[4] = 2;
        assert_eq!(Batch::decode(&bytes), Err(BatchError::Version(2)));
    }

    #[test]
    fn a_batch_with_another_spelling_is_refused_though_its_checksum_holds() {
        let good = Batch {
            header: HEADER_OF_TESTS,
            operations: vec![like("ann", 1)],
        };
        let good = good.encode().unwrap();
        let altered = |alter: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            alter(&mut bytes);
            let sum = checksum(&bytes).to_le_bytes();
            bytes[CRC_AT..HEADER].copy_from_slice(&sum);
            Batch::decode(&bytes)
        };
        assert!(altered(&|_| {}).is_ok());
        let body = HEADER;
        // channels 1, "demo" of 4, kind, channel 0, "ann" of 3, sequence
        type Alter<'a> = &'a dyn Fn(&mut Vec<u8>);
        let cases: [(&str, Alter<'_>); 8] = [
            ("nothing in it", &|b| b[CRC_AT - 4] = 0),
            ("epoch 0", &|b| b[13] = 0),
            ("a byte behind the last", &|b| b.push(0)),
            ("sequence 0", &|b| *b.last_mut().unwrap() = 0),
            ("no such kind", &|b| b[body + 6] = 5),
            ("no such channel", &|b| b[body + 7] = 1),
            ("no name of a channel", &|b| b[body + 2] = b'D'),
            ("two channels, one used", &|b| b[body] = 2),
        ];
        for (what, alter) in cases {
            assert!(altered(alter).is_err(), "{what}");
        }
    }

    #[test]
    fn a_batch_holds_4096_operations_or_256_kib() {
        let mut encoder = Encoder::default();
        for sequence in 1..=OPERATIONS_MAX as u64 {
            assert!(encoder.push(&like("ann", sequence)));
        }
        assert!(!encoder.push(&like("ann", 1)));
        let bytes = encoder.finish(HEADER_OF_TESTS);
        assert_eq!(
            Batch::decode(&bytes).unwrap().operations.len(),
            OPERATIONS_MAX
        );

        let mut encoder = Encoder::default();
        let largest = |number: usize| {
            let channel = format!("{number:064}");
            let (name, key) = ("v".repeat(64), Identity::Key("k".repeat(64).into()));
            Operation::update(channel, &name, key, Action::Hearts(1_000_000))
        };
        while encoder.push(&largest(encoder.count())) {}
        let count = encoder.count();
        let bytes = encoder.finish(HEADER_OF_TESTS);
        assert!(
            bytes.len() <= BYTES_MAX && bytes.len() > BYTES_MAX - 1_024,
            "{}",
            bytes.len()
        );
        assert_eq!(Batch::decode(&bytes).unwrap().operations.len(), count);
        let mut longer = bytes;
        longer.resize(BYTES_MAX + 1, 0);
        assert_eq!(
            Batch::decode(&longer),
            Err(BatchError::TooLong(BYTES_MAX + 1))
        );
    }
}
