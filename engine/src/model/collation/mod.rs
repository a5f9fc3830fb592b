//! Collations: how an index part orders texts, if not by their bytes.
//!
//! ```text
//!   number   0     1        2           3       4, 5, 6               … 276
//!   name     none  unicode  unicode_ci  binary  unicode_af_s1, 2, 3   …
//!            bytes └──── ICU ────┘      bytes   └ one language each, by strength: base letters,
//!                                                 accents, case ┘
//! ```
//!
//! Names and numbers are Tarantool's, in every build. What orders texts is there with the feature
//! `collations` only; without it there is no value of [`Collation`], so that nothing else has to
//! ask.
//!
//! | module | what |
//! |---|---|
//! | `languages` | the languages, and whether their order is Tarantool's |
//! | `unicode` | with the feature: a text as bytes whose order is that of a collation |
//! | `none` | without the feature: no collation |

mod languages;
#[cfg(not(feature = "collations"))]
mod none;
#[cfg(test)]
mod tests;
#[cfg(feature = "collations")]
mod unicode;

use languages::{LANGUAGES, Language};
use vestibule_wire::Error;

use crate::errors::parts as part_errors;
#[cfg(not(feature = "collations"))]
pub(crate) use none::NoCollation as Collation;
#[cfg(feature = "collations")]
pub(crate) use unicode::UnicodeCollation as Collation;

/// Names of the first collations, which are of no language.
const OF_NO_LANGUAGE: [&str; 4] = ["none", "unicode", "unicode_ci", "binary"];
/// The number of the first collation of a language.
const LANGUAGES_FROM: u16 = OF_NO_LANGUAGE.len() as u16;
/// How many collations there are of each language, one for each strength.
const STRENGTHS: u16 = 3;
/// How many collations Tarantool is born with.
const COUNT: u16 = LANGUAGES_FROM + STRENGTHS * LANGUAGES.len() as u16;

/// A collation that Tarantool is born with, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownCollation(u16);

/// Up to which difference two texts are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strength {
    /// Base letters only.
    Primary,
    /// Accents too.
    Secondary,
    /// Case too.
    Tertiary,
}

impl Strength {
    const ALL: [Self; STRENGTHS as usize] = [Self::Primary, Self::Secondary, Self::Tertiary];

    /// The name in the options of a collation.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Tertiary => "tertiary",
        }
    }
}

impl KnownCollation {
    /// Every collation, by number.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..COUNT).map(Self)
    }

    /// The collation with this number.
    pub(crate) fn with_number(number: u64) -> Option<Self> {
        let number = u16::try_from(number).ok()?;
        (number < COUNT).then_some(Self(number))
    }

    /// The collation with this name, in any case.
    pub(crate) fn with_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if let Some(number) = OF_NO_LANGUAGE.iter().position(|own| *own == name) {
            return Some(Self(number as u16));
        }
        let (language, strength) = name.strip_prefix("unicode_")?.rsplit_once("_s")?;
        let is_it = |own: &Language| own.name.eq_ignore_ascii_case(language);
        let language = LANGUAGES.iter().position(is_it)? as u16;
        let at = ["1", "2", "3"].iter().position(|own| *own == strength)? as u16;
        Some(Self(LANGUAGES_FROM + STRENGTHS * language + at))
    }

    pub(crate) fn number(self) -> u16 {
        self.0
    }

    /// The language, and which of its collations it is, from 0.
    fn of_language(self) -> Option<(&'static Language, usize)> {
        let at = usize::from(self.0.checked_sub(LANGUAGES_FROM)?);
        let strengths = usize::from(STRENGTHS);
        Some((&LANGUAGES[at / strengths], at % strengths))
    }

    pub(crate) fn name(self) -> String {
        let Some((language, at)) = self.of_language() else {
            return OF_NO_LANGUAGE[usize::from(self.0)].to_owned();
        };
        format!("unicode_{}_s{}", language.name, at + 1)
    }

    /// ICU's name of the language, empty for none.
    pub(crate) fn locale(self) -> &'static str {
        self.of_language().map_or("", |(own, _)| own.locale)
    }

    /// Up to which difference it tells texts apart; `None` if by their bytes.
    pub(crate) fn strength(self) -> Option<Strength> {
        match (self.0, self.of_language()) {
            (_, Some((_, at))) => Some(Strength::ALL[at]),
            (1, _) => Some(Strength::Tertiary),
            (2, _) => Some(Strength::Primary),
            _ => None,
        }
    }

    /// What it makes of an index part; `None` if texts are ordered by their bytes.
    ///
    /// # Errors
    ///
    /// `ErrorCode::UNSUPPORTED` if its order is not Tarantool's here, or in this build.
    pub(crate) fn order(self) -> Result<Option<Collation>, Error> {
        if self.strength().is_none() {
            return Ok(None);
        }
        if self.of_language().is_some_and(|(own, _)| !own.is_same) {
            return Err(part_errors::unsupported_collation(&self.name()));
        }
        Collation::new(self).map(Some)
    }
}
