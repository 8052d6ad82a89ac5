//! Values of flags that several commands read.

use bytesize::ByteSize;

/// A number of bytes, with a unit or without.
pub(super) fn bytes(text: &str) -> Result<u64, &'static str> {
    let size = text.parse::<ByteSize>();
    size.map(|size| size.as_u64())
        .map_err(|_| "expected a number of bytes, such as 2147483648, 2G or 2GiB")
}
