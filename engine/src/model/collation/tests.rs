use super::*;

#[test]
fn every_collation_has_tarantools_number_and_name() {
    assert_eq!(KnownCollation::all().count(), 277);
    for (number, name, locale, strength) in [
        (0, "none", "", None),
        (1, "unicode", "", Some("tertiary")),
        (2, "unicode_ci", "", Some("primary")),
        (3, "binary", "", None),
        (4, "unicode_af_s1", "af", Some("primary")),
        (29, "unicode_bs_Cyrl_s2", "bs_Cyrl", Some("secondary")),
        (
            46,
            "unicode_de_AT_phonebook_s1",
            "de_AT_u_co_phonebk",
            Some("primary"),
        ),
        (
            276,
            "unicode_zh__zhuyin_s3",
            "zh_u_co_zhuyin",
            Some("tertiary"),
        ),
    ] {
        let known = KnownCollation::with_number(number).unwrap();
        assert_eq!(known.name(), name);
        assert_eq!(KnownCollation::with_name(&name.to_uppercase()), Some(known));
        assert_eq!(
            (known.locale(), known.strength().map(Strength::name)),
            (locale, strength)
        );
    }
    for known in KnownCollation::all() {
        let name = known.name().to_uppercase();
        assert_eq!(KnownCollation::with_name(&name), Some(known), "{name}");
    }
    assert_eq!(KnownCollation::with_number(277), None);
    for name in [
        "",
        "unicode_",
        "unicode_s1",
        "unicode_af",
        "unicode_af_s4",
        "af_s1",
    ] {
        assert_eq!(KnownCollation::with_name(name), None, "{name}");
    }
}

#[test]
fn collations_of_other_orders_are_refused_by_name() {
    for name in ["unicode_lv_s1", "unicode_zh__big5han_s3", "unicode_haw_s2"] {
        let refused = KnownCollation::with_name(name)
            .unwrap()
            .order()
            .unwrap_err();
        let told = format!("vestibule does not support collation '{name}'");
        assert_eq!(refused.message(), told);
    }
    for bytes in ["none", "binary"] {
        assert_eq!(KnownCollation::with_name(bytes).unwrap().order(), Ok(None));
    }
}

#[cfg(not(feature = "collations"))]
#[test]
fn a_build_without_collations_says_so() {
    let refused = KnownCollation::with_number(2).unwrap().order().unwrap_err();
    let told = "this build has no collations: 'unicode_ci' needs one with the feature 'collations'";
    assert_eq!((refused.code().0, refused.message()), (5, told));
}

#[cfg(feature = "collations")]
mod with_tables {
    use std::cmp::Ordering::{self, Equal, Greater, Less};

    use super::*;
    use crate::limits::COLLATED_MARKS_MAX;

    fn collation(name: &str) -> Collation {
        KnownCollation::with_name(name)
            .unwrap()
            .order()
            .unwrap()
            .unwrap()
    }

    fn key(name: &str, text: &[u8]) -> Vec<u8> {
        let mut key = None;
        collation(name).with_sort_key(text, |own| key = Some(own.to_vec()));
        key.unwrap()
    }

    fn compare(name: &str, left: &str, right: &str) -> Ordering {
        key(name, left.as_bytes()).cmp(&key(name, right.as_bytes()))
    }

    #[test]
    fn every_other_collation_has_its_tables() {
        let ours = KnownCollation::all().filter(|own| own.order().is_ok());
        assert_eq!(ours.count(), 4 + 3 * (91 - 10));
    }

    #[test]
    fn texts_are_told_apart_up_to_the_strength_of_a_collation() {
        for (left, right, by_base, by_case) in [
            ("a", "A", Equal, Less),
            ("a", "á", Equal, Less),
            ("á", "a\u{301}", Equal, Equal),
            ("a", "b", Less, Less),
            ("B", "a", Greater, Greater),
            ("ß", "SS", Equal, Greater),
            ("ё", "Е", Equal, Greater),
            ("οδος", "ΟΔΟΣ", Equal, Less),
            ("2", "10", Greater, Greater),
            ("a b", "ab", Less, Less),
            ("", "\0\u{200b}", Equal, Equal),
        ] {
            assert_eq!(
                compare("unicode_ci", left, right),
                by_base,
                "{left} {right}"
            );
            assert_eq!(compare("unicode", left, right), by_case, "{left} {right}");
        }
        assert_eq!(compare("unicode_sv_s1", "ä", "z"), Greater);
        assert_eq!(compare("unicode_de__phonebook_s1", "ä", "ae"), Equal);
        assert_eq!(compare("unicode_de__phonebook_s2", "ä", "ae"), Greater);
    }

    #[test]
    fn what_is_no_utf_8_counts_as_replacement_characters() {
        for (bytes, replaced) in [
            (&b"\xff"[..], "\u{fffd}"),
            (b"a\xc3", "a\u{fffd}"),
            (b"\xf0\x90\x80", "\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xe2\x82z", "\u{fffd}z"),
        ] {
            assert_eq!(key("unicode", bytes), key("unicode", replaced.as_bytes()));
        }
    }

    #[test]
    fn a_long_text_has_the_key_that_a_short_one_would_begin() {
        let (short, long) = ("straße".repeat(9), "straße".repeat(900));
        assert_eq!(compare("unicode_ci", &short, &long), Less);
        let short = key("unicode_ci", short.as_bytes());
        assert!(key("unicode_ci", long.as_bytes()).starts_with(&short));
    }

    #[test]
    fn marks_in_a_row_are_divided_and_nothing_else_is_changed() {
        let most = "\u{301}".repeat(COLLATED_MARKS_MAX);
        for (text, divided) in [
            (format!("{}a{most}", "x".repeat(99)), None),
            (
                format!("x{most}\u{301}a"),
                Some(format!("x{most}\u{34f}\u{301}a")),
            ),
            (
                format!("{most}{most}{most}x{most}"),
                Some(format!("{most}\u{34f}{most}\u{34f}{most}x{most}")),
            ),
            ("\u{f73}".repeat(20), None),
            (
                "\u{f73}".repeat(31),
                Some(format!("{}\u{34f}\u{f73}", "\u{f73}".repeat(30))),
            ),
        ] {
            assert_eq!(unicode::divided(text.as_bytes()), divided);
            let of_one_class = divided.unwrap_or_else(|| text.clone());
            assert_eq!(compare("unicode", &text, &of_one_class), Equal);
        }
    }
}
