//! A buffer with room in front of what is received, so that a header can be put there without moving anything.

/// Room for the longest header: that of a Data indication from an IPv6 peer.
const HEAD: usize = 48;
/// The longest datagram, and what fills it up.
const BODY: usize = 65_536;

/// One datagram on its way.
pub struct Frame {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Default for Frame {
    fn default() -> Frame {
        Frame {
            bytes: vec![0; HEAD + BODY].into(),
            start: HEAD,
            end: HEAD,
        }
    }
}

impl Frame {
    /// Where a datagram is received; say then how long it was.
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(HEAD..HEAD + BODY - 4)
            .unwrap_or_default()
    }

    /// So many bytes were received.
    pub fn received(&mut self, length: usize) {
        self.start = HEAD;
        self.end = HEAD + length.min(BODY - 4);
    }

    /// What was received, and put before it.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Puts a header before it.
    pub fn prepend(&mut self, header: &[u8]) {
        let start = self.start.saturating_sub(header.len());
        if let Some(room) = self.bytes.get_mut(start..start + header.len()) {
            room.copy_from_slice(header);
            self.start = start;
        }
    }

    /// Fills what was received up to a multiple of four with zeros.
    pub fn pad(&mut self) {
        let filled = HEAD + (self.end - HEAD).next_multiple_of(4);
        if let Some(rest) = self.bytes.get_mut(self.end..filled) {
            rest.fill(0);
            self.end = filled;
        }
    }
}
