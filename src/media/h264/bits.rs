//! Bits, Exp-Golomb codes and NAL units (H.264 sections 7.3.1, 7.4.1 and 9.1).

/// A raw byte sequence payload under construction, most significant bit first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`: the lowest `pending_bits`, always fewer than 32.
    pending: u64,
    pending_bits: u32,
}

impl Bits {
    /// An empty payload with room for `bytes` bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Bits written so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() * 8 + self.pending_bits as usize
    }

    /// `u(count)`: the lowest `count` bits of `value`, at most 32; the bits above them are zero.
    #[inline]
    pub(super) fn u(&mut self, value: u32, count: u32) {
        debug_assert!(count == 32 || value >> count == 0);
        self.pending = self.pending << count | u64::from(value);
        self.pending_bits += count;
        if self.pending_bits >= 32 {
            self.pending_bits -= 32;
            let word = (self.pending >> self.pending_bits) as u32;
            self.bytes.extend_from_slice(&word.to_be_bytes());
        }
    }

    /// `u(1)`.
    pub(super) fn flag(&mut self, value: u8) {
        self.u(u32::from(value), 1);
    }

    /// `ue(v)`: an unsigned Exp-Golomb code.
    #[inline]
    pub(super) fn ue(&mut self, value: u32) {
        let code = value + 1;
        let length = code.ilog2();
        self.u(0, length);
        self.u(code, length + 1);
    }

    /// `se(v)`: a signed Exp-Golomb code.
    pub(super) fn se(&mut self, value: i32) {
        self.ue(if value > 0 {
            2 * value.unsigned_abs() - 1
        } else {
            2 * value.unsigned_abs()
        });
    }

    /// Ends the payload: the stop bit, then zeros up to a byte.
    pub(super) fn into_payload(mut self) -> Vec<u8> {
        self.u(1, 1);
        while self.pending_bits > 0 {
            let taken = self.pending_bits.min(8);
            let byte = self.pending << (8 - taken) >> (self.pending_bits - taken);
            self.bytes.push(byte as u8);
            self.pending_bits -= taken;
        }
        self.bytes
    }
}

/// Appends a NAL unit to a byte stream (annex B): start code, header, and the payload with emulation prevention.
pub(super) fn append_nal(stream: &mut Vec<u8>, header: u8, payload: &[u8]) {
    stream.extend([0, 0, 0, 1, header]);
    let mut rest = payload;
    // Copy up to each pair of zeros that precedes a byte below 4. Most payloads have no such pair, so one copy
    // suffices.
    while let Some(at) = first_emulation(rest) {
        stream.extend(&rest[..at + 2]);
        stream.push(3);
        rest = &rest[at + 2..];
    }
    stream.extend(rest);
}

/// Bytes that [`append_nal`] writes before the payload.
pub(super) const NAL_PREFIX_BYTES: usize = 5;

fn first_emulation(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at + 2 < bytes.len() {
        // If the third byte is above 3, none of the next three windows that contain it can match.
        if bytes[at + 2] > 3 {
            at += 3;
        } else if bytes[at] == 0 && bytes[at + 1] == 0 {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        let mut bits = Bits::default();
        for value in 0..5 {
            bits.ue(value);
        }
        for value in [1, -1, 2] {
            bits.se(value);
        }
        // 1 010 011 00100 00101 | 010 011 00100 | stop
        assert_eq!(bits.len(), 28);
        assert_eq!(
            bits.into_payload(),
            [0b1010_0110, 0b0100_0010, 0b1010_0110, 0b0100_1000]
        );
    }

    #[test]
    fn a_full_word_leaves_no_bit_behind() {
        let mut bits = Bits::default();
        bits.u(0xdead_beef, 32);
        bits.u(0x7f, 7);
        assert_eq!(bits.into_payload(), [0xde, 0xad, 0xbe, 0xef, 0xff]);
    }

    #[test]
    fn no_start_code_appears_inside_a_nal_unit() {
        for (payload, escaped) in [
            (&[0, 0, 0, 0, 0, 9][..], &[0, 0, 3, 0, 0, 3, 0, 9][..]),
            (&[1, 0, 0, 1, 0], &[1, 0, 0, 3, 1, 0]),
            (&[7, 0, 0, 4, 0, 0, 2], &[7, 0, 0, 4, 0, 0, 3, 2]),
        ] {
            let mut stream = Vec::new();
            append_nal(&mut stream, 0x65, payload);
            assert_eq!(stream[..NAL_PREFIX_BYTES], [0, 0, 0, 1, 0x65]);
            assert_eq!(stream[NAL_PREFIX_BYTES..], *escaped);
        }
    }
}
