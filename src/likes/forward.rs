//! The bytes that an edge forwards as one request, and the origin's answer about each operation in it.
//!
//! ```text
//! forwarded: magic "SWLF" | version u8 | crc32c u32 | length of the batch varint | batch | per operation its addresses: text
//! answer:    magic "SWLA" | version u8 | crc32c u32 | count varint | per operation: kind u8, if it is durable
//!            with [log u64] and sequence varint
//! ```
//! The batch has the format of [`super::batch`] and is written by the edge. It keeps the identity and the order of the
//! operations. It is not an entry of a log: the origin puts its operations into batches of its own. Checksums cover
//! every byte except themselves.
//!
//! Hearts without a name are summed per channel. A sum is an ordinary operation. Its viewer is the edge in its present
//! life, and its number is the batch's. So a batch that is sent twice counts once.

use super::batch::{self, Batch, BatchError, Encoder, Header};
use super::consistency::Token;
use super::limits::Shed;
use super::operation::{Action, Change, HEARTS_MAX, Identity, Operation, Update};
use super::varint::{Malformed, Reader, put, put_text};

/// The most bytes of one forwarded request: the same as of a batch.
pub const BYTES_MAX: usize = batch::BYTES_MAX;
/// The most bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 16 + batch::OPERATIONS_MAX * 20;
/// The longest list of addresses of one operation, in bytes.
pub const FROM_BYTES_MAX: usize = 256;

const FORWARDED: [u8; 4] = *b"SWLF";
const ANSWER: [u8; 4] = *b"SWLA";
const VERSION: u8 = 1;
const CRC_AT: usize = 5;
const HEAD: usize = CRC_AT + 4;
/// Bytes before the batch: the head and a length of at most three bytes.
const BEFORE: usize = HEAD + 3;

/// Operations as an edge forwards them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The operations, in the order of their arrival.
    pub batch: Batch,
    /// The addresses of each operation's sender, as in `X-Forwarded-For`, the nearest last.
    pub from: Vec<Box<str>>,
}

/// Why bytes are no valid forwarded request or answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// The bytes have another format or version.
    #[error("these bytes were forwarded by no edge of this version")]
    Magic,
    /// There are too many bytes.
    #[error("{0} bytes are more than are forwarded at once")]
    TooLong(usize),
    /// The bytes are damaged.
    #[error("their checksum does not hold")]
    Checksum,
    /// The checksum holds, but the encoding is wrong.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The batch inside is not valid.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// A viewer may not send such an operation, or another value is not allowed.
    #[error("{0}")]
    Invalid(&'static str),
}

/// The origin's answer about one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The operation is durable.
    Durable {
        /// Its place in the order of its log.
        token: Token,
        /// Whether this operation, or a newer one, had been counted before.
        duplicate: bool,
        /// Whether the operation is on a disk. A log for benchmarks may keep it in memory only.
        on_disk: bool,
    },
    /// The channel is not described at the origin.
    UnknownChannel,
    /// Another operation has the same identity.
    Conflict,
    /// The number is too old: it is unknown whether the operation was counted.
    TooOld,
    /// The channel no longer takes updates.
    Closed,
    /// The sender exceeds its rate limit.
    Limited,
    /// It is unknown whether the operation counts.
    Unknown,
    /// The operation was shed.
    Overloaded(Shed),
}

/// The next forwarded request while it is filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    operations: Encoder,
    from: Vec<u8>,
}

impl Filling {
    /// Appends an operation, if there is space for it and for `others` more.
    pub(super) fn push(&mut self, operation: &Operation, from: &str, others: usize) -> bool {
        self.has_room(others) && {
            put_text(&mut self.from, from);
            self.operations.push(operation)
        }
    }

    /// Whether one more operation and `others` beside it are sure to fit.
    pub(super) fn has_room(&self, others: usize) -> bool {
        let most = batch::ROOM + FROM_BYTES_MAX + 2;
        let bytes = BEFORE + self.operations.bytes() + self.from.len();
        self.operations.count() + others < batch::OPERATIONS_MAX
            && bytes + (others + 1) * most <= BYTES_MAX
    }

    /// The forwarded request as bytes.
    pub(super) fn finish(self, header: Header) -> Vec<u8> {
        let batch = self.operations.finish(header);
        let mut bytes = begun(FORWARDED, BEFORE + batch.len() + self.from.len());
        put(&mut bytes, batch.len() as u64);
        bytes.extend_from_slice(&batch);
        bytes.extend_from_slice(&self.from);
        sealed(bytes)
    }
}

impl Forwarded {
    /// Decodes bytes that are exactly one forwarded request.
    ///
    /// # Errors
    /// The first error found in the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ForwardError> {
        if bytes.len() > BYTES_MAX {
            return Err(ForwardError::TooLong(bytes.len()));
        }
        let mut rest = opened(bytes, FORWARDED)?;
        let length = usize::try_from(rest.number()?).map_err(|_| Malformed::Short)?;
        let batch = Batch::decode(rest.take(length)?)?;
        let mut from = Vec::with_capacity(batch.operations.len());
        for operation in &batch.operations {
            check(operation, batch.header)?;
            let addresses = rest.text()?;
            if addresses.len() > FROM_BYTES_MAX {
                return Err(ForwardError::Invalid("a list of addresses is too long"));
            }
            from.push(addresses.into());
        }
        if !rest.0.is_empty() {
            return Err(ForwardError::Invalid("more follows behind the last text"));
        }
        Ok(Self { batch, from })
    }
}

/// The viewer name under which an edge in one life sums hearts. It contains a random number, so no viewer can guess it.
pub fn sum_name(header: Header) -> Box<str> {
    format!("~edge.{:016x}.{:x}", header.writer, header.epoch).into()
}

/// A batch's sum of hearts without a name for one channel.
pub(super) fn sum(header: Header, channel: &str, hearts: u32) -> Operation {
    let (name, number) = (sum_name(header), Identity::Sequence(header.number));
    Operation::update(channel, &name, number, Action::Hearts(hearts))
}

/// Whether an operation is the sum of its batch for its channel.
pub fn is_sum(operation: &Operation, header: Header) -> bool {
    let Change::Update(update) = &operation.change else {
        return false;
    };
    matches!(update.action, Action::Hearts(_))
        && update.identity == Identity::Sequence(header.number)
        && update.viewer == sum_name(header)
}

/// Checks that a viewer may send the operation, or that it is a sum. A sum may hold more hearts.
fn check(operation: &Operation, header: Header) -> Result<(), ForwardError> {
    match &operation.change {
        Change::Close | Change::Reopen => {
            Err(ForwardError::Invalid("edges neither close nor reopen"))
        }
        Change::Update(Update {
            action: Action::Hearts(hearts),
            ..
        }) if *hearts > HEARTS_MAX && !is_sum(operation, header) => {
            Err(ForwardError::Invalid("a viewer sends 1 to 100 hearts"))
        }
        Change::Update(_) => Ok(()),
    }
}

const DUPLICATE: u8 = 1;
const IN_MEMORY: u8 = 2;
/// The operation's log differs from that of the operation before, and follows.
const OTHER_LOG: u8 = 4;
const REFUSALS: [(u8, Said); 6] = [
    (8, Said::UnknownChannel),
    (9, Said::Conflict),
    (10, Said::TooOld),
    (11, Said::Closed),
    (12, Said::Limited),
    (13, Said::Unknown),
];
const OVERLOADED: u8 = 0x20;

/// Encodes the origin's answer about each operation.
pub fn answer(said: &[Said]) -> Vec<u8> {
    let mut bytes = begun(ANSWER, HEAD + 3 + said.len() * 8);
    put(&mut bytes, said.len() as u64);
    let mut last = None;
    for said in said {
        match said {
            Said::Durable {
                token,
                duplicate,
                on_disk,
            } => {
                let other = last.replace(token.log) != Some(token.log);
                let flag = |given: bool, flag: u8| if given { flag } else { 0 };
                bytes.push(
                    flag(*duplicate, DUPLICATE)
                        | flag(!on_disk, IN_MEMORY)
                        | flag(other, OTHER_LOG),
                );
                if other {
                    bytes.extend_from_slice(&token.log.to_le_bytes());
                }
                put(&mut bytes, token.sequence);
            }
            Said::Overloaded(why) => {
                let index = Shed::ALL.iter().position(|known| known == why);
                // A reason that an origin does not have is an edge's own, and is not in the list. Then the operation
                // has not reached an origin's log, so the first reason stands for it.
                bytes.push(OVERLOADED | index.unwrap_or(0) as u8);
            }
            refused => {
                let known = REFUSALS.iter().find(|(_, known)| known == refused);
                bytes.push(known.map_or(13, |(kind, _)| *kind));
            }
        }
    }
    sealed(bytes)
}

/// Decodes the origin's answer about `count` operations.
///
/// # Errors
/// The bytes are not an answer about so many operations.
pub fn read_answer(bytes: &[u8], count: usize) -> Result<Vec<Said>, ForwardError> {
    let mut rest = opened(bytes, ANSWER)?;
    if rest.number()? != count as u64 {
        return Err(ForwardError::Invalid("it answers another batch"));
    }
    let (mut said, mut log) = (Vec::with_capacity(count), None);
    for _ in 0..count {
        said.push(read_said(&mut rest, &mut log)?);
    }
    if !rest.0.is_empty() {
        return Err(ForwardError::Invalid("more follows behind the last answer"));
    }
    Ok(said)
}

fn read_said(rest: &mut Reader<'_>, last: &mut Option<u64>) -> Result<Said, ForwardError> {
    let kind = rest.byte()?;
    if kind < 8 {
        if kind & OTHER_LOG != 0 {
            *last = Some(u64::from_le_bytes(rest.array()?));
        }
        let log = last.ok_or(ForwardError::Invalid("an answer is of no log"))?;
        let sequence = rest.number()?;
        return Ok(Said::Durable {
            token: Token { log, sequence },
            duplicate: kind & DUPLICATE != 0,
            on_disk: kind & IN_MEMORY == 0,
        });
    }
    let refused = REFUSALS.iter().find(|(known, _)| *known == kind);
    let shed = || Shed::ALL.get(usize::from(kind.checked_sub(OVERLOADED)?));
    refused
        .map(|(_, said)| *said)
        .or_else(|| shed().copied().map(Said::Overloaded))
        .ok_or(ForwardError::Invalid("an answer is of no known kind"))
}

fn begun(magic: [u8; 4], room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(&magic);
    bytes.push(VERSION);
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = checksum(&bytes);
    bytes[CRC_AT..HEAD].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn opened(bytes: &[u8], magic: [u8; 4]) -> Result<Reader<'_>, ForwardError> {
    if bytes.len() < HEAD || bytes[..4] != magic || bytes[4] != VERSION {
        return Err(ForwardError::Magic);
    }
    let mut found = [0; 4];
    found.copy_from_slice(&bytes[CRC_AT..HEAD]);
    if u32::from_le_bytes(found) != checksum(bytes) {
        return Err(ForwardError::Checksum);
    }
    Ok(Reader(&bytes[HEAD..]))
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), &bytes[HEAD..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        writer: 0x0123_4567_89ab_cdef,
        epoch: 2,
        number: 3,
    };

    fn filled(operations: &[Operation]) -> Vec<u8> {
        let mut filling = Filling::default();
        for operation in operations {
            assert!(filling.push(operation, "192.0.2.1", 0));
        }
        filling.finish(HEADER)
    }

    fn like(sequence: u64) -> Operation {
        Operation::update("demo", "ann", Identity::Sequence(sequence), Action::Like)
    }

    fn hearts(viewer: &str, sequence: u64, count: u32) -> Operation {
        let identity = Identity::Sequence(sequence);
        Operation::update("demo", viewer, identity, Action::Hearts(count))
    }

    #[test]
    fn what_is_forwarded_reads_back_and_every_flipped_bit_is_seen() {
        let operations = [like(1), sum(HEADER, "demo", 70_000)];
        let bytes = filled(&operations);
        let read = Forwarded::decode(&bytes).unwrap();
        assert_eq!(read.batch.operations, operations);
        assert_eq!(read.batch.header, HEADER);
        assert_eq!(*read.from, ["192.0.2.1".into(), "192.0.2.1".into()]);
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(Forwarded::decode(&flipped).is_err(), "bit {at}");
        }
        for length in 0..bytes.len() {
            assert!(
                Forwarded::decode(&bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn the_bytes_never_change() {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        assert_eq!(
            hex(&filled(&[like(1)])),
            [
                "53574c4601529886db3253574c4b01efcdab896745230102000000000000000300000000000000010000003a234602",
                "010464656d6f000003616e6e01093139322e302e322e31",
            ]
            .concat()
        );
        assert_eq!(
            hex(&answer(&every_answer())),
            [
                "53574c410121d1963e110407000000000000000101ac020609000000000000000208090a0b0c0d2021222324252600ffffff",
                "ffffffffffff01",
            ]
            .concat()
        );
    }

    #[test]
    fn edges_forward_what_viewers_may_send_and_their_own_sums() {
        let close = Operation {
            channel: "demo".into(),
            change: Change::Close,
        };
        let name = sum_name(HEADER);
        for (operation, expected) in [
            (like(1), true),
            (hearts("ann", 1, 100), true),
            (hearts("ann", 1, 101), false),
            (hearts(&name, HEADER.number, 101), true),
            (hearts(&name, HEADER.number + 1, 101), false),
            (close, false),
        ] {
            let bytes = filled(std::slice::from_ref(&operation));
            let read = Forwarded::decode(&bytes);
            assert_eq!(read.is_ok(), expected, "{operation:?}: {read:?}");
        }
    }

    fn every_answer() -> Vec<Said> {
        let durable = |log, sequence, duplicate, on_disk| Said::Durable {
            token: Token { log, sequence },
            duplicate,
            on_disk,
        };
        let refused = REFUSALS.iter().map(|(_, said)| *said);
        [
            durable(7, 1, false, true),
            durable(7, 300, true, true),
            durable(9, 2, false, false),
        ]
        .into_iter()
        .chain(refused)
        .chain(Shed::ALL.map(Said::Overloaded))
        .chain([durable(9, u64::MAX, false, true)])
        .collect()
    }

    #[test]
    fn every_answer_reads_back_and_no_other_bytes_do() {
        let said = every_answer();
        let bytes = answer(&said);
        assert_eq!(read_answer(&bytes, said.len()), Ok(said.clone()));
        assert!(read_answer(&bytes, said.len() - 1).is_err());
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(read_answer(&flipped, said.len()).is_err(), "bit {at}");
        }
    }

    #[test]
    fn the_largest_answer_and_the_largest_batch_are_within_their_bounds() {
        let longest = |log| Said::Durable {
            token: Token {
                log,
                sequence: u64::MAX,
            },
            duplicate: true,
            on_disk: true,
        };
        let said: Vec<_> = (0..batch::OPERATIONS_MAX as u64).map(longest).collect();
        assert!(answer(&said).len() <= ANSWER_BYTES_MAX);

        let mut filling = Filling::default();
        let from = "9".repeat(FROM_BYTES_MAX);
        let largest = |number: usize| {
            let (name, key) = ("v".repeat(64), Identity::Key("k".repeat(64).into()));
            Operation::update(format!("{number:064}"), &name, key, Action::Hearts(100))
        };
        while filling.push(&largest(filling.operations.count()), &from, 0) {}
        let count = filling.operations.count();
        let bytes = filling.finish(HEADER);
        assert!(bytes.len() <= BYTES_MAX, "{}", bytes.len());
        assert!(bytes.len() > BYTES_MAX - 1_024, "{}", bytes.len());
        assert_eq!(Forwarded::decode(&bytes).unwrap().from.len(), count);
    }
}
