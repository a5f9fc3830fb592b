//! Languages that Tarantool has collations for.
//!
//! Whether an order is the same was found by ordering some 9,000 texts, the letters of 25 scripts
//! among them, with Debian's Tarantool 2.6 (ICU 72) and with the tables of this build.

/// A language, or one way of ordering it.
#[derive(Debug)]
pub(super) struct Language {
    /// What stands in the names of its collations.
    pub(super) name: &'static str,
    /// ICU's name.
    pub(super) locale: &'static str,
    /// Whether its letters are ordered as by Tarantool; of the others, the tables have no rules any
    /// more or new ones.
    pub(super) is_same: bool,
}

const fn same(name: &'static str, locale: &'static str) -> Language {
    Language {
        name,
        locale,
        is_same: true,
    }
}

const fn other(name: &'static str, locale: &'static str) -> Language {
    Language {
        name,
        locale,
        is_same: false,
    }
}

/// All of them, in the order of the numbers of their collations.
#[rustfmt::skip]
pub(super) const LANGUAGES: [Language; 91] = [
    same("af", "af"), same("am", "am"), same("ar", "ar"), same("as", "as"), same("az", "az"),
    same("be", "be"), same("bn", "bn"), same("bs", "bs"), same("bs_Cyrl", "bs_Cyrl"),
    same("ca", "ca"), same("cs", "cs"), same("cy", "cy"), same("da", "da"),
    same("de__phonebook", "de_DE_u_co_phonebk"), same("de_AT_phonebook", "de_AT_u_co_phonebk"),
    same("dsb", "dsb"), same("ee", "ee"), same("eo", "eo"), same("es", "es"),
    same("es__traditional", "es_u_co_trad"), same("et", "et"), same("fa", "fa"), same("fi", "fi"),
    same("fi__phonebook", "fi_u_co_phonebk"), same("fil", "fil"), same("fo", "fo"),
    same("fr_CA", "fr_CA"), same("gu", "gu"), same("ha", "ha"), other("haw", "haw"),
    same("he", "he"), same("hi", "hi"), same("hr", "hr"), same("hu", "hu"), same("hy", "hy"),
    same("ig", "ig"), same("is", "is"), same("ja", "ja"), same("kk", "kk"), other("kl", "kl"),
    same("kn", "kn"), same("ko", "ko"), same("kok", "kok"), same("ky", "ky"), other("lkt", "lkt"),
    other("ln", "ln"), same("lt", "lt"), other("lv", "lv"), same("mk", "mk"), same("ml", "ml"),
    same("mr", "mr"), same("mt", "mt"), same("nb", "nb"), same("nn", "nn"), other("nso", "nso"),
    same("om", "om"), same("or", "or"), same("pa", "pa"), same("pl", "pl"), same("ro", "ro"),
    same("sa", "sa"), other("se", "se"), same("si", "si"), same("si__dictionary", "si_u_co_dict"),
    same("sk", "sk"), same("sl", "sl"), same("sq", "sq"), same("sr", "sr"),
    same("sr_Latn", "sr_Latn"), same("sv", "sv"), same("sv__reformed", "sv_u_co_reformed"),
    same("ta", "ta"), same("te", "te"), same("th", "th"), other("tn", "tn"), same("to", "to"),
    same("tr", "tr"), same("ug_Cyrl", "ug"), same("uk", "uk"), same("ur", "ur"), same("vi", "vi"),
    same("vo", "vo"), same("wae", "wae"), same("wo", "wo"), same("yo", "yo"), same("zh", "zh"),
    other("zh__big5han", "zh_u_co_big5han"), other("zh__gb2312han", "zh_u_co_gb2312"),
    same("zh__pinyin", "zh_u_co_pinyin"), same("zh__stroke", "zh_u_co_stroke"),
    same("zh__zhuyin", "zh_u_co_zhuyin"),
];
