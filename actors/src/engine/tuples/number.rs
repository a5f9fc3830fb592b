//! Numbers of any kind in one order.

use std::cmp::Ordering;

/// A number of a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    /// Of an integer and a float, exactly: neither is converted with a loss.
    fn cmp_mixed(integer: i128, float: f64) -> Ordering {
        if float.is_nan() {
            return Ordering::Greater;
        }
        // A cast saturates, so what is beyond all integers of MessagePack stays beyond them.
        let whole = float.trunc() as i128;
        integer.cmp(&whole).then_with(|| {
            let rest = float - float.trunc();
            0f64.partial_cmp(&rest).unwrap_or(Ordering::Equal)
        })
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (*self, *other) {
            (Self::Integer(own), Self::Integer(other)) => own.cmp(&other),
            (Self::Integer(own), Self::Float(other)) => Self::cmp_mixed(own, other),
            (Self::Float(own), Self::Integer(other)) => Self::cmp_mixed(other, own).reverse(),
            // No number comes before all numbers.
            (Self::Float(own), Self::Float(other)) => match own.partial_cmp(&other) {
                Some(order) => order,
                None => other.is_nan().cmp(&own.is_nan()),
            },
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_are_in_one_order() {
        use Number::{Float, Integer};
        let ordered = [
            Float(f64::NAN),
            Float(f64::NEG_INFINITY),
            Float(-1e30),
            Integer(i128::from(i64::MIN)),
            Integer(-2),
            Float(-1.5),
            Integer(-1),
            Float(-0.5),
            Integer(0),
            Float(0.5),
            Integer(1 << 53),
            Integer((1 << 53) + 1),
            Float(9_007_199_254_740_994.0),
            Integer(i128::from(u64::MAX)),
            Float(1e30),
            Float(f64::INFINITY),
        ];
        for (at, own) in ordered.iter().enumerate() {
            for (other_at, other) in ordered.iter().enumerate() {
                assert_eq!(own.cmp(other), at.cmp(&other_at), "{own:?} {other:?}");
            }
        }
        assert_eq!(Integer(2), Float(2.0));
        assert_eq!(Integer(0), Float(-0.0));
    }
}
