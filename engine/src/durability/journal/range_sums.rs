//! CRC32C of any range of a file, without hashing it again for each.
//!
//! ```text
//!   base      base+64    base+128                    at
//!   │ sum of 0 │ sum of 64 │ sum of 128 … ───────────┤ at most 63 bytes more
//!
//!   sum(from..to) = sum(..to) ⊕ sum(..from) · x^(8·(to − from))    modulo the polynomial
//! ```
//!
//! A search for records behind damage has to look at every place that may be a head, and bytes that
//! were chosen to look like heads make every second word one. Hashed each on its own, they cost the
//! square of the file's size. Here a file is hashed once, and each of them costs some 128 bytes.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes between two sums that are kept.
const STEP: u64 = 64;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;

/// The polynomial of CRC32C, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `x^(8·value·256^byte)` for each byte of a length below 2³² and each of its values.
const SHIFTS: [[u32; 256]; 4] = shifts();

/// Sums of what stands before each step of a file, from where a search began.
#[derive(Debug)]
pub(super) struct RangeSums {
    /// The place of the first sum.
    base: u64,
    /// Sums of what stands before `base`, `base + STEP` and so on, from the first `base` on.
    sums: VecDeque<u32>,
    /// Bytes that were hashed.
    pub(super) hashed: u64,
}

impl RangeSums {
    /// Sums from this place on.
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            sums: VecDeque::from([0]),
            hashed: 0,
        }
    }

    /// The first place that a range may begin at.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// What a checksum that stood at `sum` is after these bytes of the file, which must have them:
    /// fewer than 4 GiB, none of them before [`base`](Self::base).
    pub(super) fn append(&mut self, file: &File, sum: u32, from: u64, to: u64) -> io::Result<u32> {
        let before = self.before(file, from)?;
        Ok(self.before(file, to)? ^ shifted(before ^ sum, to - from))
    }

    /// Forgets what is of use only for ranges that begin before this place.
    pub(super) fn forget_before(&mut self, at: u64) {
        let steps = at.saturating_sub(self.base) / STEP;
        let steps = steps.min(self.sums.len() as u64 - 1);
        self.sums.drain(..steps as usize);
        self.base += steps * STEP;
    }

    /// The sum of everything up to a place.
    fn before(&mut self, file: &File, at: u64) -> io::Result<u32> {
        let step = (at - self.base) / STEP;
        while self.sums.len() as u64 <= step {
            self.extend(file, step)?;
        }
        let start = self.base + step * STEP;
        let mut rest = [0; STEP as usize];
        let rest = &mut rest[..(at - start) as usize];
        file.read_exact_at(rest, start)?;
        self.hashed += rest.len() as u64;
        Ok(crc32c::crc32c_append(self.sums[step as usize], rest))
    }

    /// Adds sums, no further than the one with this number.
    fn extend(&mut self, file: &File, step: u64) -> io::Result<()> {
        let last = self.sums.len() as u64 - 1;
        let steps = (step - last).min(CHUNK as u64 / STEP);
        let mut chunk = vec![0; (steps * STEP) as usize];
        file.read_exact_at(&mut chunk, self.base + last * STEP)?;
        let mut sum = self.sums[last as usize];
        for part in chunk.chunks_exact(STEP as usize) {
            sum = crc32c::crc32c_append(sum, part);
            self.sums.push_back(sum);
        }
        self.hashed += chunk.len() as u64;
        Ok(())
    }
}

/// What a sum is once `size` zero bytes follow, but for the inversions at both ends, which cancel
/// each other out where two sums are added.
fn shifted(sum: u32, size: u64) -> u32 {
    let bytes = (size as u32).to_le_bytes();
    let shifts = SHIFTS.iter().zip(bytes);
    shifts.fold(sum, |sum, (powers, byte)| match byte {
        0 => sum,
        byte => product(powers[usize::from(byte)], sum),
    })
}

/// The product of two polynomials.
const fn product(a: u32, b: u32) -> u32 {
    let (mut a, mut b, mut sum) = (a, b, 0);
    while a != 0 {
        if a & 1 << 31 != 0 {
            sum ^= b;
        }
        a <<= 1;
        b = if b & 1 == 1 {
            b >> 1 ^ POLYNOMIAL
        } else {
            b >> 1
        };
    }
    sum
}

const fn shifts() -> [[u32; 256]; 4] {
    let mut shifts = [[1 << 31; 256]; 4];
    // x^8, then x^(8·256) and so on.
    let mut unit = 1 << 23;
    let mut byte = 0;
    while byte < 4 {
        let mut value = 1;
        while value < 256 {
            shifts[byte][value] = product(shifts[byte][value - 1], unit);
            value += 1;
        }
        unit = product(shifts[byte][255], unit);
        byte += 1;
    }
    shifts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("vestibule-sums-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }

    #[test]
    fn the_sum_of_any_range_is_that_of_its_bytes() {
        let mut random = fastrand::Rng::with_seed(7);
        let bytes: Vec<u8> = (0..CHUNK * 2 + 1000).map(|_| random.u8(..)).collect();
        let file = file_of(&bytes);
        let mut sums = RangeSums::new(3);
        let mut oldest = 3;
        for round in 0..300 {
            let from = random.usize(oldest..bytes.len());
            let most = 200 << random.usize(0..12);
            let size = random.usize(0..most);
            let to = (from + size).min(bytes.len());
            let salt = random.u32(..);
            let right = crc32c::crc32c_append(salt, &bytes[from..to]);
            let found = sums.append(&file, salt, from as u64, to as u64).unwrap();
            assert_eq!(found, right, "{from}..{to}");
            if round % 50 == 49 {
                oldest += 70_000;
                sums.forget_before(oldest as u64);
                assert!(sums.base() <= oldest as u64);
            }
        }
        let most = bytes.len() as u64 + 300 * 2 * STEP;
        assert!(sums.hashed < most, "{} bytes hashed", sums.hashed);
    }

    #[test]
    fn lengths_up_to_4_gib_are_shifted_by_the_right_power() {
        // As the product of the powers for its bits.
        let mut power = 1 << 23;
        for bit in 0..32 {
            assert_eq!(shifted(1 << 31, 1 << bit), power, "2^{bit}");
            power = product(power, power);
        }
    }
}
