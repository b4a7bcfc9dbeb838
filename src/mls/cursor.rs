//! Reads the presentation language of MLS (RFC 9420 §2.1): integers, and vectors with their length before them.

use super::framing::FrameError;

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn end(self) -> Result<(), FrameError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(FrameError::Trailing(left)),
        }
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Result<(), FrameError> {
        self.take(bytes).map(|_| ())
    }

    pub(super) fn u8(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, FrameError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A vector (§2.1.2).
    pub(super) fn vector(&mut self) -> Result<&'a [u8], FrameError> {
        let length = self.length()?;
        let length = usize::try_from(length).map_err(|_| FrameError::Truncated)?;
        self.take(length)
    }

    /// So many vectors, whatever they hold.
    pub(super) fn vectors(&mut self, number: usize) -> Result<(), FrameError> {
        (0..number).try_for_each(|_| self.vector().map(|_| ()))
    }

    /// §2.1.2: in as few bytes as it fits into; the first two bits say how many.
    fn length(&mut self) -> Result<u32, FrameError> {
        let first = self.u8()?;
        let low = u32::from(first & 0x3f);
        let (value, least) = match first >> 6 {
            0 => (low, 0),
            1 => ((low << 8) | u32::from(self.u8()?), 1 << 6),
            2 => {
                let [a, b, c] = self.array()?;
                (u32::from_be_bytes([first & 0x3f, a, b, c]), 1 << 14)
            }
            _ => return Err(FrameError::Length),
        };
        match value >= least {
            true => Ok(value),
            false => Err(FrameError::Length),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(FrameError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or(FrameError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}
