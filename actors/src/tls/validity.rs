//! Until when a certificate is valid: the one thing in it that nobody else tells. Pure.
//!
//! ```text
//!   Certificate ─▶ TBSCertificate ─▶ [0] version, serial, algorithm, issuer, validity ─▶ notAfter
//! ```

/// Tags of DER.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The second, since 1970, in which a certificate (DER) ends; `None` if it is no certificate.
pub(super) fn not_after(der: &[u8]) -> Option<u64> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, rest) = time(validity)?;
    time(rest).map(|(seconds, _)| seconds)
}

/// The content of what stands first, if it has this tag, and what comes behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            let (digits, rest) = rest.split_at_checked(count)?;
            if !(1..=4).contains(&count) {
                return None;
            }
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
    };
    (*first == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// A time, in seconds since 1970 (0 for what is before), and what comes behind it.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, century, rest) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => {
            let (year, _) = number(text, 2)?;
            (text, Some(if year < 50 { 2000 } else { 1900 }), rest)
        }
        None => {
            let (text, rest) = element(bytes, GENERALIZED_TIME)?;
            (text, None, rest)
        }
    };
    let (year, mut digits) = match century {
        Some(century) => number(digits, 2).map(|(year, rest)| (century + year, rest))?,
        None => number(digits, 4)?,
    };
    let mut fields = [0; 5];
    for field in &mut fields {
        (*field, digits) = number(digits, 2)?;
    }
    let [month, day, hour, minute, second] = fields;
    if digits != b"Z" || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some((u64::try_from(seconds).unwrap_or(0), rest))
}

/// The number in this count of digits, and what comes behind them.
fn number(bytes: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (text, rest) = bytes.split_at_checked(digits)?;
    let is_number = text.iter().all(u8::is_ascii_digit);
    let number = text.iter().fold(0, |sum, digit| {
        sum * 10 + i64::from(digit.wrapping_sub(b'0'))
    });
    is_number.then_some((number, rest))
}

/// Days of the Gregorian calendar; the year begins in March, so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn times_are_read_as_they_stand_in_certificates() {
        for (tag, text, expected) in [
            (UTC_TIME, &b"700101000000Z"[..], Some(0)),
            (UTC_TIME, b"491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, b"500101000000Z", Some(0)),
            (GENERALIZED_TIME, b"20240229120000Z", Some(1_709_208_000)),
            (GENERALIZED_TIME, b"99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, b"700101000000", None),
            (UTC_TIME, b"701301000000Z", None),
            (UTC_TIME, b"7001010000", None),
            (GENERALIZED_TIME, b"2024022912000xZ", None),
            (INTEGER, b"700101000000Z", None),
        ] {
            let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
            bytes.extend(text);
            assert_eq!(time(&bytes).map(|(own, _)| own), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let pem = include_bytes!("../../../client/tests/certificates/server.pem");
        let whole = CertificateDer::from_pem_slice(pem).unwrap();
        let end = not_after(&whole).expect("it is a certificate");
        assert!(end > 1_700_000_000, "{end}");
        // However it is cut or bent, nothing panics.
        for length in 0..whole.len() {
            let _ = not_after(&whole[..length]);
            let mut bent = whole.to_vec();
            bent[length] ^= 0xff;
            let _ = not_after(&bent);
        }
        assert_eq!(not_after(b""), None);
    }
}
