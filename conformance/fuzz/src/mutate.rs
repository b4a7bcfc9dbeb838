//! Random mutations of seed inputs.

/// A small generator of random numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`; 0 for 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let random = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        random as usize % bound.max(1)
    }
}

/// What XML is made of.
const WORDS: &[&[u8]] = &[
    b"<",
    b">",
    b"/",
    b"/>",
    b"</",
    b"<a>",
    b"</a>",
    b"<b/>",
    b"&",
    b";",
    b"&amp;",
    b"&lt;",
    b"&#13;",
    b"&#x9;",
    b"&#0;",
    b"&#xFFFE;",
    b"&foo;",
    b"]]>",
    b"]]",
    b"<![CDATA[",
    b"<!--",
    b"-->",
    b"<?",
    b"?>",
    b"<?xml version='1.0'?>",
    b"<!DOCTYPE a>",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"'",
    b"\"",
    b"=",
    b":",
    b" a='1'",
    b" p:a='1'",
    b" xmlns='u'",
    b" xmlns=''",
    b" xmlns:p='u'",
    b" xmlns:q='u'",
    b" xmlns:xml='u'",
    b" xml:lang='de'",
    b"http://www.w3.org/XML/1998/namespace",
    b"http://www.w3.org/2000/xmlns/",
    b"xmlns",
    b"xml",
    b"p:",
    b"\xEF\xBB\xBF",
    b"\xEF\xBF\xBE",
    b"\xC3\xA9",
    b"\xC2\xB7",
    b"\x01",
    b"\xFF",
    b"</stream:stream>",
    b"jabber:client",
];

/// A copy of one of `seeds` with some things changed.
pub fn mutate(seeds: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| {
        seeds
            .get(random.below(seeds.len()))
            .copied()
            .unwrap_or_default()
    };
    let mut data = pick(random).to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        let end = (at + random.below(12)).min(data.len());
        match random.below(6) {
            0 => drop(data.drain(at..end)),
            1 => drop(data.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            2 => drop(data.splice(at..end, WORDS[random.below(WORDS.len())].iter().copied())),
            3 => {
                let other = pick(random);
                let from = random.below(other.len() + 1);
                let to = (from + random.below(40)).min(other.len());
                drop(data.splice(at..at, other[from..to].iter().copied()));
            }
            4 => {
                let copy = data[at..end].to_vec();
                drop(data.splice(at..at, copy));
            }
            _ => {
                if let Some(byte) = data.get_mut(at) {
                    *byte = random.below(256) as u8;
                }
            }
        }
    }
    data
}
