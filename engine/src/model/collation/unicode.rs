//! Texts as bytes whose order is that of a collation, by ICU4X and its tables.
//!
//! ```text
//!   text ─▶ no more than 30 marks in a row ─▶ sort key: base letters 01 accents 01 case
//! ```
//!
//! Two texts that a collation does not tell apart have the same bytes. What is no UTF-8 counts as
//! U+FFFD, piece by piece.
//!
//! The collator takes time in proportion to the square of the marks in a row (64 KiB of U+0F73 took
//! 1.5 s). Unicode's stream-safe text format (UAX #15) has at most 30: a character that nothing
//! orders by, U+034F, is put between more of them. It keeps marks on its two sides from being put
//! in their canonical order, and changes nothing else.

use std::num::NonZeroU16;
use std::sync::OnceLock;

use icu_collator::options::{self, CollatorOptions};
use icu_collator::{Collator, CollatorBorrowed};
use icu_locale_core::Locale;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;
use vestibule_wire::Error;

use super::{COUNT, KnownCollation, Strength};
use crate::errors::parts as part_errors;
use crate::limits::{COLLATED_MARKS_MAX, SORT_KEY_INLINE_MAX};

/// What marks are divided by: U+034F.
const DIVIDER: char = '\u{34f}';

/// Collators by the numbers of their collations, made when they are first needed.
static COLLATORS: [OnceLock<CollatorBorrowed<'static>>; COUNT as usize] =
    [const { OnceLock::new() }; COUNT as usize];

/// A collation that orders texts, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnicodeCollation(NonZeroU16);

impl UnicodeCollation {
    /// # Errors
    ///
    /// `ErrorCode::UNSUPPORTED` if there are no tables for it.
    pub(super) fn new(known: KnownCollation) -> Result<Self, Error> {
        let unsupported = || part_errors::unsupported_collation(&known.name());
        let made = &COLLATORS[usize::from(known.number())];
        if made.get().is_none() {
            let collator = collator(known).ok_or_else(unsupported)?;
            made.get_or_init(|| collator);
        }
        let number = NonZeroU16::new(known.number());
        number.map(Self).ok_or_else(unsupported)
    }

    pub(crate) fn known(self) -> KnownCollation {
        KnownCollation(self.0.get())
    }

    fn collator(self) -> &'static CollatorBorrowed<'static> {
        let made = COLLATORS[usize::from(self.0.get())].get();
        made.expect("it is made with the collation")
    }

    /// Makes the sort key of a text, and hands it on.
    pub(crate) fn with_sort_key(self, text: &[u8], take: impl FnOnce(&[u8])) {
        let divided = divided(text);
        let text = divided.as_deref().map_or(text, str::as_bytes);
        // Most keys take no more than four times as much as their text.
        if text.len() <= SORT_KEY_INLINE_MAX / 4 {
            let mut key = [0; SORT_KEY_INLINE_MAX];
            let written = self.collator().write_sort_key_utf8_to(text, &mut key[..]);
            if let Ok(size) = written {
                return take(&key[..size]);
            }
        }
        let mut key = Vec::with_capacity(2 * text.len());
        let Ok(()) = self.collator().write_sort_key_utf8_to(text, &mut key);
        take(&key);
    }
}

fn collator(known: KnownCollation) -> Option<CollatorBorrowed<'static>> {
    let locale = match known.locale() {
        "" => Locale::UNKNOWN,
        name => name.replace('_', "-").parse().ok()?,
    };
    let mut options = CollatorOptions::default();
    options.strength = Some(match known.strength()? {
        Strength::Primary => options::Strength::Primary,
        Strength::Secondary => options::Strength::Secondary,
        Strength::Tertiary => options::Strength::Tertiary,
    });
    Collator::try_new((&locale).into(), options).ok()
}

/// The text with a divider after every [`COLLATED_MARKS_MAX`] marks in a row; `None` if it has no
/// more anywhere.
pub(super) fn divided(text: &[u8]) -> Option<String> {
    // A mark takes two bytes or more.
    if text.len() <= 2 * COLLATED_MARKS_MAX {
        return None;
    }
    let classes = CanonicalCombiningClassMapBorrowed::new();
    let text = String::from_utf8_lossy(text);
    let (mut out, mut copied, mut marks) = (String::new(), 0, 0);
    for (at, character) in text.char_indices() {
        if !is_mark(&classes, character) {
            marks = 0;
            continue;
        }
        marks += 1;
        if marks > COLLATED_MARKS_MAX {
            out.push_str(&text[copied..at]);
            out.push(DIVIDER);
            (copied, marks) = (at, 1);
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// Whether a character is ordered among its like after a letter.
fn is_mark(classes: &CanonicalCombiningClassMapBorrowed<'_>, character: char) -> bool {
    // No mark has a shorter encoding.
    if character < '\u{300}' {
        return false;
    }
    // Three are no marks themselves, but made of marks.
    matches!(character, '\u{f73}' | '\u{f75}' | '\u{f81}') || classes.get_u8(character) != 0
}
