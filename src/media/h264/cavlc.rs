//! CAVLC of residual blocks (H.264 section 9.2): the two kinds that DC-only macroblocks have.
//!
//! No macroblock here has AC coefficients, so the neighbours of every luma block count none, and nC is always zero.
//! Chroma DC has its own table (nC = -1).

use super::bits::Bits;

/// Writes the 16 luma DC levels of an Intra16x16 macroblock, in zigzag order.
pub(super) fn luma_dc(bits: &mut Bits, levels: &[i32; 16]) {
    block(bits, levels, &LUMA_COEFF_TOKEN, |total, zeros| {
        LUMA_TOTAL_ZEROS[total - 1][zeros]
    });
}

/// Writes the four DC levels of a chroma plane, in raster order.
pub(super) fn chroma_dc(bits: &mut Bits, levels: &[i32; 4]) {
    block(bits, levels, &CHROMA_COEFF_TOKEN, |total, zeros| {
        CHROMA_TOTAL_ZEROS[total - 1][zeros]
    });
}

/// A code: its bits and the number of bits.
type Code = (u8, u8);

#[inline]
fn block<const N: usize>(
    bits: &mut Bits,
    levels: &[i32; N],
    coeff_token: &[[Code; 4]],
    total_zeros: impl Fn(usize, usize) -> Code,
) {
    // Non-zero levels and their positions, highest frequency first. Branch-free, because branch prediction fails on
    // noise.
    let mut coded = [0; N];
    let mut places = [0; N];
    let mut total = 0;
    for (place, &level) in levels.iter().enumerate().rev() {
        coded[total] = level;
        places[total] = place;
        total += usize::from(level != 0);
    }
    let (coded, places) = (&coded[..total], &places[..total]);

    let trailing_ones = coded
        .iter()
        .take(3)
        .take_while(|level| level.abs() == 1)
        .count();
    put(bits, coeff_token[total][trailing_ones]);
    if total == 0 {
        return;
    }
    for level in &coded[..trailing_ones] {
        bits.flag(u8::from(*level < 0));
    }
    remaining_levels(bits, coded, trailing_ones);
    if total == N {
        return;
    }
    let mut zeros = places[0] + 1 - total;
    put(bits, total_zeros(total, zeros));
    for pair in places.windows(2) {
        if zeros == 0 {
            break;
        }
        let run = pair[0] - pair[1] - 1;
        put(bits, RUN_BEFORE[zeros.min(7) - 1][run]);
        zeros -= run;
    }
}

/// Writes the levels after the trailing ones: a unary prefix, and a suffix whose length grows with the levels before.
#[inline]
fn remaining_levels(bits: &mut Bits, coded: &[i32], trailing_ones: usize) {
    let mut suffix_length = u32::from(coded.len() > 10 && trailing_ones < 3);
    for (index, &level) in coded.iter().enumerate().skip(trailing_ones) {
        let magnitude = level.unsigned_abs();
        let mut code = 2 * magnitude - 2 + u32::from(level < 0);
        if index == trailing_ones && trailing_ones < 3 {
            // A level of 1 here would have been a trailing one.
            code -= 2;
        }
        match suffix_length {
            1.. if code < 15 << suffix_length => {
                let suffix = code & ((1 << suffix_length) - 1);
                let prefix = code >> suffix_length;
                bits.u(1 << suffix_length | suffix, prefix + 1 + suffix_length);
            }
            1.. => bits.u(1 << 12 | (code - (15 << suffix_length)), 16 + 12),
            0 if code < 14 => bits.u(1, code + 1),
            0 if code < 30 => bits.u(1 << 4 | (code - 14), 15 + 4),
            0 => bits.u(1 << 12 | (code - 30), 16 + 12),
        }
        suffix_length = suffix_length.max(1);
        suffix_length += u32::from(magnitude > 3 << (suffix_length - 1) && suffix_length < 6);
    }
}

#[inline]
fn put(bits: &mut Bits, (code, length): Code) {
    bits.u(u32::from(code), u32::from(length));
}

/// Table 9-5 for 0 <= nC < 2, by total of coefficients and trailing ones.
#[rustfmt::skip]
static LUMA_COEFF_TOKEN: [[Code; 4]; 17] = [
    [(1, 1), (0, 0), (0, 0), (0, 0)],
    [(5, 6), (1, 2), (0, 0), (0, 0)],
    [(7, 8), (4, 6), (1, 3), (0, 0)],
    [(7, 9), (6, 8), (5, 7), (3, 5)],
    [(7, 10), (6, 9), (5, 8), (3, 6)],
    [(7, 11), (6, 10), (5, 9), (4, 7)],
    [(15, 13), (6, 11), (5, 10), (4, 8)],
    [(11, 13), (14, 13), (5, 11), (4, 9)],
    [(8, 13), (10, 13), (13, 13), (4, 10)],
    [(15, 14), (14, 14), (9, 13), (4, 11)],
    [(11, 14), (10, 14), (13, 14), (12, 13)],
    [(15, 15), (14, 15), (9, 14), (12, 14)],
    [(11, 15), (10, 15), (13, 15), (8, 14)],
    [(15, 16), (1, 15), (9, 15), (12, 15)],
    [(11, 16), (14, 16), (13, 16), (8, 15)],
    [(7, 16), (10, 16), (9, 16), (12, 16)],
    [(4, 16), (6, 16), (5, 16), (8, 16)],
];

/// Table 9-5 for nC = -1.
static CHROMA_COEFF_TOKEN: [[Code; 4]; 5] = [
    [(1, 2), (0, 0), (0, 0), (0, 0)],
    [(7, 6), (1, 1), (0, 0), (0, 0)],
    [(4, 6), (6, 6), (1, 3), (0, 0)],
    [(3, 6), (3, 7), (2, 7), (5, 6)],
    [(2, 6), (3, 8), (2, 8), (0, 7)],
];

/// Tables 9-7 and 9-8, by total of coefficients less one and zeros before the last.
#[rustfmt::skip]
static LUMA_TOTAL_ZEROS: [&[Code]; 15] = [
    &[(1, 1), (3, 3), (2, 3), (3, 4), (2, 4), (3, 5), (2, 5), (3, 6), (2, 6), (3, 7), (2, 7), (3, 8), (2, 8), (3, 9), (2, 9), (1, 9)],
    &[(7, 3), (6, 3), (5, 3), (4, 3), (3, 3), (5, 4), (4, 4), (3, 4), (2, 4), (3, 5), (2, 5), (3, 6), (2, 6), (1, 6), (0, 6)],
    &[(5, 4), (7, 3), (6, 3), (5, 3), (4, 4), (3, 4), (4, 3), (3, 3), (2, 4), (3, 5), (2, 5), (1, 6), (1, 5), (0, 6)],
    &[(3, 5), (7, 3), (5, 4), (4, 4), (6, 3), (5, 3), (4, 3), (3, 4), (3, 3), (2, 4), (2, 5), (1, 5), (0, 5)],
    &[(5, 4), (4, 4), (3, 4), (7, 3), (6, 3), (5, 3), (4, 3), (3, 3), (2, 4), (1, 5), (1, 4), (0, 5)],
    &[(1, 6), (1, 5), (7, 3), (6, 3), (5, 3), (4, 3), (3, 3), (2, 3), (1, 4), (1, 3), (0, 6)],
    &[(1, 6), (1, 5), (5, 3), (4, 3), (3, 3), (3, 2), (2, 3), (1, 4), (1, 3), (0, 6)],
    &[(1, 6), (1, 4), (1, 5), (3, 3), (3, 2), (2, 2), (2, 3), (1, 3), (0, 6)],
    &[(1, 6), (0, 6), (1, 4), (3, 2), (2, 2), (1, 3), (1, 2), (1, 5)],
    &[(1, 5), (0, 5), (1, 3), (3, 2), (2, 2), (1, 2), (1, 4)],
    &[(0, 4), (1, 4), (1, 3), (2, 3), (1, 1), (3, 3)],
    &[(0, 4), (1, 4), (1, 2), (1, 1), (1, 3)],
    &[(0, 3), (1, 3), (1, 1), (1, 2)],
    &[(0, 2), (1, 2), (1, 1)],
    &[(0, 1), (1, 1)],
];

/// Table 9-9 (a), by total of coefficients less one and zeros before the last.
static CHROMA_TOTAL_ZEROS: [&[Code]; 3] = [
    &[(1, 1), (1, 2), (1, 3), (0, 3)],
    &[(1, 1), (1, 2), (0, 2)],
    &[(1, 1), (0, 1)],
];

/// Table 9-10, by zeros left (7 stands for more) less one and the run.
#[rustfmt::skip]
static RUN_BEFORE: [&[Code]; 7] = [
    &[(1, 1), (0, 1)],
    &[(1, 1), (1, 2), (0, 2)],
    &[(3, 2), (2, 2), (1, 2), (0, 2)],
    &[(3, 2), (2, 2), (1, 2), (1, 3), (0, 3)],
    &[(3, 2), (2, 2), (3, 3), (2, 3), (1, 3), (0, 3)],
    &[(3, 2), (0, 3), (1, 3), (3, 3), (2, 3), (5, 3), (4, 3)],
    &[(7, 3), (6, 3), (5, 3), (4, 3), (3, 3), (2, 3), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (1, 8), (1, 9), (1, 10), (1, 11)],
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether no code is the beginning of another.
    fn is_prefix_free<'a>(codes: impl IntoIterator<Item = &'a Code>) -> bool {
        let codes: Vec<_> = codes
            .into_iter()
            .map(|&(code, length)| (u32::from(code), length))
            .filter(|(_, length)| *length > 0)
            .collect();
        codes.iter().enumerate().all(|(index, (a, a_length))| {
            codes[index + 1..].iter().all(|(b, b_length)| {
                let common = a_length.min(b_length);
                a >> (a_length - common) != b >> (b_length - common)
            })
        })
    }

    #[test]
    fn every_table_is_prefix_free() {
        assert!(is_prefix_free(LUMA_COEFF_TOKEN.as_flattened()));
        assert!(is_prefix_free(CHROMA_COEFF_TOKEN.as_flattened()));
        for codes in LUMA_TOTAL_ZEROS
            .iter()
            .chain(&CHROMA_TOTAL_ZEROS)
            .chain(&RUN_BEFORE)
        {
            assert!(is_prefix_free(*codes), "{codes:?}");
        }
    }

    #[test]
    fn a_block_is_written_as_worked_by_hand() {
        // 0, 3, 0, 1, -1, -1, 0, 1, 0...: five coefficients, three trailing ones, three zeros. The well-known example
        // codes it as 0000100 0 1 1 1 0010 111 10 1 101.
        let mut levels = [0; 16];
        levels[1] = 3;
        levels[3] = 1;
        levels[4] = -1;
        levels[5] = -1;
        levels[7] = 1;
        let mut bits = Bits::default();
        luma_dc(&mut bits, &levels);
        assert_eq!(bits.len(), 24);
        assert_eq!(
            bits.into_payload(),
            [0b0000_1000, 0b1110_0101, 0b1110_1101, 0x80]
        );
    }
}
