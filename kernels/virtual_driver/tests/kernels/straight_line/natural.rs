//! Natural numbers of any size, as schoolbooks compute with them: plain enough to be believed at sight.

use std::cmp::Ordering;

/// Digits of 32 bits, lowest first, the highest not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Natural(Vec<u32>);

impl From<u64> for Natural {
    fn from(value: u64) -> Self {
        Natural(vec![value as u32, (value >> 32) as u32]).trimmed()
    }
}

impl Natural {
    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn digit(&self, index: usize) -> u32 {
        self.0.get(index).copied().unwrap_or(0)
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bit(&self, index: usize) -> bool {
        self.digit(index / 32) >> (index % 32) & 1 == 1
    }

    /// Bits up to the highest one.
    pub(crate) fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| 32 * self.0.len() - top.leading_zeros() as usize)
    }

    /// The value, which must fit.
    pub(crate) fn to_u64(&self) -> u64 {
        assert!(self.bits() <= 64);
        u64::from(self.digit(1)) << 32 | u64::from(self.digit(0))
    }

    /// self * 2^by
    pub(crate) fn up(&self, by: usize) -> Natural {
        let mut digits = vec![0; by / 32];
        let wide = |i: usize| u64::from(self.digit(i)) << (by % 32);
        digits.extend((0..=self.0.len()).map(|i| {
            let below = if i == 0 { 0 } else { wide(i - 1) >> 32 };
            wide(i) as u32 | below as u32
        }));
        Natural(digits).trimmed()
    }

    /// self / 2^by, rounded down
    pub(crate) fn down(&self, by: usize) -> Natural {
        let skip = by / 32;
        let digits = (skip..self.0.len()).map(|i| {
            let both = u64::from(self.digit(i + 1)) << 32 | u64::from(self.digit(i));
            (both >> (by % 32)) as u32
        });
        Natural(digits.collect()).trimmed()
    }

    /// The low `count` bits.
    pub(crate) fn low(&self, count: usize) -> Natural {
        self.minus(&self.down(count).up(count))
    }

    pub(crate) fn compare(&self, other: &Natural) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    pub(crate) fn plus(&self, other: &Natural) -> Natural {
        let mut carry = 0;
        let digits = (0..=self.0.len().max(other.0.len())).map(|i| {
            let sum = u64::from(self.digit(i)) + u64::from(other.digit(i)) + carry;
            carry = sum >> 32;
            sum as u32
        });
        Natural(digits.collect()).trimmed()
    }

    /// self - other, which must not be larger
    pub(crate) fn minus(&self, other: &Natural) -> Natural {
        let mut borrow = 0;
        let digits = (0..self.0.len()).map(|i| {
            let difference = i64::from(self.digit(i)) - i64::from(other.digit(i)) - borrow;
            borrow = i64::from(difference < 0);
            difference as u32
        });
        let result = Natural(digits.collect()).trimmed();
        assert_eq!(borrow, 0, "minus of a larger number");
        result
    }

    pub(crate) fn times(&self, other: &Natural) -> Natural {
        let rows = other.0.iter().enumerate().map(|(place, &digit)| {
            let mut carry = 0;
            let row = (0..=self.0.len()).map(|i| {
                let product = u64::from(self.digit(i)) * u64::from(digit) + carry;
                carry = product >> 32;
                product as u32
            });
            Natural(row.collect()).trimmed().up(32 * place)
        });
        rows.fold(Natural::default(), |sum, row| sum.plus(&row))
    }

    /// Quotient rounded down, and whether something remains.
    pub(crate) fn over(&self, divisor: &Natural) -> (Natural, bool) {
        let (mut quotient, mut rest) = (Natural::default(), Natural::default());
        for index in (0..self.bits()).rev() {
            rest = rest.up(1).plus(&Natural::from(u64::from(self.bit(index))));
            let fits = rest.compare(divisor) != Ordering::Less;
            if fits {
                rest = rest.minus(divisor);
            }
            quotient = quotient.up(1).plus(&Natural::from(u64::from(fits)));
        }
        (quotient, !rest.is_zero())
    }

    /// Square root rounded down, and whether something remains.
    pub(crate) fn root(&self) -> (Natural, bool) {
        let mut root = Natural::default();
        for index in (0..self.bits().div_ceil(2)).rev() {
            let tried = root.plus(&Natural::from(1).up(index));
            if tried.times(&tried).compare(self) != Ordering::Greater {
                root = tried;
            }
        }
        let remains = root.times(&root) != *self;
        (root, remains)
    }
}
