//! The Block options (RFC 7959 §2.2): a number, a flag and the exponent of a size.

/// The exponent of the largest block, 1024 bytes.
pub const LARGEST: u8 = 6;

/// Block numbers have 20 bits.
const MAX_NUMBER: u32 = (1 << 20) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub number: u32,
    pub more: bool,
    /// Size exponent, 0 to 6.
    pub szx: u8,
}

impl Block {
    /// None for the reserved exponent 7.
    pub fn from_value(value: u32) -> Option<Self> {
        let szx = (value & 7) as u8;
        (szx <= LARGEST).then_some(Self { number: value >> 4, more: value & 8 != 0, szx })
    }

    pub fn value(self) -> u32 {
        self.number.min(MAX_NUMBER) << 4 | u32::from(self.more) << 3 | u32::from(self.szx)
    }

    /// Bytes of a full block.
    pub fn size(self) -> usize {
        16 << self.szx
    }

    /// Where the block begins in the body.
    pub fn offset(self) -> u64 {
        u64::from(self.number) << (4 + self.szx)
    }

    /// The same place in smaller blocks.
    pub fn shrunk(self, szx: u8) -> Self {
        let szx = szx.min(self.szx);
        Self { number: self.number << (self.szx - szx), szx, ..self }
    }

    /// Whether a body of so many bytes can be told in blocks of this size.
    pub fn reaches(self, length: u64) -> bool {
        length <= (u64::from(MAX_NUMBER) + 1) << (4 + self.szx)
    }
}

/// The largest exponent whose blocks have at most so many bytes.
pub fn szx_within(bytes: usize) -> Option<u8> {
    (0..=LARGEST).rev().find(|szx| 16 << szx <= bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_places() {
        let block = Block::from_value(0x3a).unwrap();
        assert_eq!(block, Block { number: 3, more: true, szx: 2 });
        assert_eq!((block.size(), block.offset()), (64, 192));
        assert_eq!(block.shrunk(0), Block { number: 12, more: true, szx: 0 });
        assert_eq!(block.shrunk(6), block);
        assert_eq!(Block::from_value(7), None);
        assert_eq!([szx_within(15), szx_within(16), szx_within(2000)], [None, Some(0), Some(6)]);
        assert!(block.reaches(64 << 20) && !block.reaches((64 << 20) + 1));
    }

    proptest! {
        #[test]
        fn values_round_trip(number in 0u32..1 << 20, more: bool, szx in 0u8..=6) {
            let block = Block { number, more, szx };
            prop_assert_eq!(Block::from_value(block.value()), Some(block));
            prop_assert_eq!(block.shrunk(0).offset(), block.offset());
        }
    }
}
