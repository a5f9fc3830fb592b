//! The differences that are accepted. Each has its entry, by the same name, in docs/differences.md,
//! with the reason; a predicate here says which replies it covers.

use vestibule_wire::keys;

use crate::print;
use crate::reply::Reply;
use crate::request::Request;

/// A request and what both servers answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answers<'a> {
    pub(crate) request: &'a Request,
    pub(crate) reference: &'a Reply,
    pub(crate) ours: &'a Reply,
}

/// An accepted difference.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// As in docs/differences.md.
    pub(crate) name: &'static str,
    /// Whether the two may hold different data after it.
    pub(crate) can_part: bool,
    /// Whether it is this one, and nothing else differs.
    pub(crate) fits: fn(Answers<'_>) -> bool,
}

pub(crate) const ACCEPTED: &[Accepted] = &[
    Accepted {
        name: "map-order",
        can_part: false,
        fits: |answers| {
            let is_made = answers.request.procedure().is_some() || answers.request.is_of_system();
            is_made && !answers.reference.is_error() && answers.same_as_text()
        },
    },
    Accepted {
        name: "rows-of-definitions",
        can_part: false,
        fits: |answers| {
            let plain = |reply: &Reply| {
                let text = print::text(reply.data.as_deref().unwrap_or_default());
                let words = ["\"field\": ", "\"type\": ", "\"is_nullable\": false, "];
                let text = words.iter().fold(text, |text, word| text.replace(word, ""));
                text.replace(['{', '}', '[', ']'], "").to_ascii_lowercase()
            };
            let are_rows = answers.request.is_of_system() && !answers.reference.is_error();
            are_rows && !answers.ours.is_error() && plain(answers.reference) == plain(answers.ours)
        },
    },
    Accepted {
        name: "field-and-type-in-errors",
        can_part: false,
        fits: |answers| {
            matches!(answers.ours.error_code(), 23 | 24 | 27 | 39)
                && answers.is_in_words(&without_field_name(&without_got(answers.ours.text())))
        },
    },
    Accepted {
        name: "tuples-of-duplicates",
        can_part: false,
        fits: |answers| {
            let ours = answers.ours.text().replace('"', "'");
            let (ours, _) = ours.split_once(" with old tuple - ").unwrap_or((&ours, ""));
            answers.ours.error_code() == 3 && answers.is_in_words(ours)
        },
    },
    Accepted {
        name: "names-of-keys",
        can_part: false,
        fits: |answers| {
            let ours = answers.ours.text().to_ascii_lowercase().replace('_', " ");
            let ours = ours.replacen("missing mandatory", "Missing mandatory", 1);
            let ours = ours.replace("'ops'", "'operations'");
            answers.ours.error_code() == 69 && answers.is_in_words(&ours)
        },
    },
    Accepted {
        name: "schema-versions",
        can_part: false,
        fits: |answers| {
            answers.ours.error_code() == 109 && answers.is_in_words(answers.reference.text())
        },
    },
    Accepted {
        name: "uuid-in-scalar",
        can_part: true,
        fits: |answers| {
            let text = answers.reference.text();
            let tells = matches!(answers.reference.error_code(), 18 | 23 | 24 | 27);
            // A change of a definition meets those that are stored, and an operation may move one.
            let is_there = answers.request.mentions_uuid(text)
                || answers.request.defines()
                || answers.request.mentions_operation(b'!')
                || answers.request.mentions_operation(b'#');
            tells && text.contains("scalar") && is_there
        },
    },
    Accepted {
        name: "illegal-parameters",
        can_part: false,
        fits: |answers| {
            let text = format!("Illegal parameters, {}", answers.ours.text());
            answers.ours.error_code() == 1 && answers.is_in_words(&text)
        },
    },
    Accepted {
        name: "splice-of-binary",
        can_part: true,
        fits: |answers| {
            let ours = answers
                .ours
                .text()
                .replace("a string or varbinary", "a string");
            let refused = answers.reference.error_code() == 26
                && answers.reference.text().contains("expected a string");
            answers.is_in_words(&ours)
                || (refused && answers.request.mentions_operation(b':'))
                || (answers.is_unfit_upsert() && answers.request.mentions_operation(b':'))
                || (answers.request.is_probe && answers.probe_alike(is_binary_changed))
        },
    },
    Accepted {
        name: "gap",
        can_part: true,
        fits: |answers| {
            let refused = matches!(answers.reference.error_code(), 37 | 201);
            // The longer tuple may not be fit.
            let is_unfit = matches!(answers.ours.error_code(), 3 | 23 | 38 | 39);
            let fills = |symbol| answers.request.mentions_operation(symbol);
            let is_filled = !answers.ours.is_error() && (fills(b'=') || fills(b'!'));
            let goes_on = is_filled || answers.fails_later() || is_unfit;
            (refused && goes_on)
                || answers.is_unfit_upsert()
                || (answers.request.is_probe && answers.probe_alike(is_gap_filled))
        },
    },
    Accepted {
        name: "delete-past-the-end",
        can_part: true,
        fits: |answers| {
            let refused = matches!(answers.reference.error_code(), 37 | 201);
            let goes_on = !answers.ours.is_error() || answers.fails_later();
            refused && goes_on && answers.request.mentions_operation(b'#')
        },
    },
    Accepted {
        name: "doubles-stay-doubles",
        can_part: true,
        fits: |answers| {
            let text = |reply: &Reply| reply.data.as_deref().map(print::text);
            let (theirs, ours) = (text(answers.reference), text(answers.ours));
            let calculates =
                ['+', '-'].map(|symbol| answers.request.mentions_operation(symbol as u8));
            let is_same =
                theirs.is_some_and(|theirs| ours.is_some_and(|ours| is_narrowed(&theirs, &ours)));
            (calculates.contains(&true) && is_same)
                || (answers.request.is_probe && answers.probe_alike(is_narrowed))
        },
    },
    Accepted {
        name: "numbers-in-doubles",
        can_part: true,
        fits: |answers| {
            let is_told = matches!(answers.reference.error_code(), 18 | 23)
                && answers.reference.text().contains("double");
            is_told && !answers.ours.text().contains("expected double")
        },
    },
    Accepted {
        name: "decimals-of-large-doubles",
        can_part: true,
        fits: |answers| {
            let data = answers.reference.data.as_deref().map(print::text);
            let is_decimal = data.is_some_and(|data| data.contains("ext(1)"));
            answers.ours.error_code() == 94 && !answers.reference.is_error() && is_decimal
        },
    },
    Accepted {
        name: "two-operations-on-a-field",
        can_part: true,
        fits: |answers| {
            let text = answers.reference.text();
            answers.reference.error_code() == 29 && text.contains("double update")
        },
    },
    Accepted {
        name: "order-of-checks-in-hash",
        can_part: false,
        fits: |answers| {
            let tells = |reply: &Reply| matches!(reply.error_code(), 3 | 23 | 38 | 39);
            let is_change = answers.request.defines() && answers.request.is_hash;
            is_change && tells(answers.reference) && tells(answers.ours)
        },
    },
    Accepted {
        name: "fewer-parts-of-a-unique-index",
        can_part: true,
        fits: |answers| {
            let is_found = answers.ours.error_code() == 3 && !answers.reference.is_error();
            answers.request.defines() && answers.request.is_of_index() && is_found
        },
    },
    Accepted {
        name: "order-of-types",
        can_part: false,
        fits: |answers| {
            // What stands between quotes: the two types.
            let types = |reply: &Reply| {
                let mut types: Vec<_> = reply.text().split('\'').map(str::to_owned).collect();
                types = types.into_iter().skip(1).step_by(2).collect();
                types.sort();
                types
            };
            let tells = |reply: &Reply| matches!(reply.error_code(), 24 | 27);
            let both = tells(answers.reference) && tells(answers.ours);
            both && answers.request.defines() && types(answers.reference) == types(answers.ours)
        },
    },
    Accepted {
        name: "request-types-above-255",
        can_part: false,
        fits: |answers| {
            let low = format!("Unknown request type {}", answers.request.code & 0xff);
            answers.request.code > 255 && answers.is_in_words(&low)
        },
    },
    Accepted {
        name: "primary-index-in-errors",
        can_part: false,
        fits: |answers| {
            let text = answers.reference.text();
            let index = text
                .split_once("part of ")
                .and_then(|(_, rest)| rest.split_once(" in space"));
            let ours = index.map(|(index, _)| answers.ours.text().replace("primary index", index));
            answers.ours.error_code() == 94 && ours.is_some_and(|ours| answers.is_in_words(&ours))
        },
    },
    Accepted {
        name: "order-of-hash",
        can_part: false,
        fits: |answers| answers.request.is_hash && answers.walk_alike(),
    },
    Accepted {
        name: "usage",
        can_part: false,
        fits: |answers| {
            let is_told = answers.reference.text().starts_with("Usage");
            answers.reference.error_code() == 32 && is_told && answers.ours.error_code() == 1
        },
    },
];

/// `…, got nil`
fn without_got(text: &str) -> String {
    text.split_once(", got ")
        .map_or(text, |(before, _)| before)
        .to_owned()
}

/// `Tuple field 2 (name) …`, `Field 2 (name) …`
fn without_field_name(text: &str) -> String {
    match (text.find(" ("), text.find(')')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &text[..from], &text[to + 1..]),
        _ => text.to_owned(),
    }
}

/// Two rows that differ in binary values only.
fn is_binary_changed(theirs: &str, ours: &str) -> bool {
    let without = |row: &str| {
        let mut pieces = row.split("bin[");
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |all, piece| {
            all + "bin" + piece.split_once(']').map_or("", |(_, rest)| rest)
        })
    };
    without(theirs) == without(ours)
}

/// Two rows with the same numbers, some of which are floats in the other one.
fn is_narrowed(theirs: &str, ours: &str) -> bool {
    without_floats(theirs) == without_floats(ours)
}

/// Floats as doubles are printed.
fn without_floats(row: &str) -> String {
    row.replace("f,", ",").replace("f]", "]")
}

/// Two rows of which ours goes on, with a nil or more, where the other one ends.
fn is_gap_filled(theirs: &str, ours: &str) -> bool {
    let (theirs, ours) = (without_floats(theirs), without_floats(ours));
    let theirs = theirs.strip_suffix(']').unwrap_or(&theirs);
    ours.strip_prefix(theirs)
        .is_some_and(|rest| rest.starts_with(", nil"))
}

impl Answers<'_> {
    /// Whether our reply, with these words in place of its own, is the reference's.
    fn is_in_words(self, text: &str) -> bool {
        self.ours.with_text(text) == *self.reference
    }

    /// Whether both walked over a HASH index: in any order and, after a key, from anywhere.
    fn walk_alike(self) -> bool {
        let is_call = self.request.procedure().is_some();
        let rows = |reply: &Reply| {
            let data = reply.data.as_deref()?;
            // A call returns the rows as one value.
            let data = if is_call {
                print::only_item(data)?
            } else {
                data
            };
            let mut rows = print::items(data).ok()?;
            rows.sort();
            Some(rows)
        };
        let (Some(theirs), Some(ours)) = (rows(self.reference), rows(self.ours)) else {
            return false;
        };
        let number = |key| self.request.number(key);
        let is_gt = number(keys::ITERATOR) == Some(6) || self.request.mentions_text("GT");
        let is_cut = number(keys::OFFSET).is_some_and(|offset| offset > 0)
            || number(keys::LIMIT).is_some_and(|limit| limit <= theirs.len() as u64)
            || is_call;
        is_gt || theirs == ours || (is_cut && theirs.len() == ours.len())
    }

    /// Whether a probe found the same rows, but for pairs that are different in this way.
    fn probe_alike(self, is_excused: fn(&str, &str) -> bool) -> bool {
        let rows = |reply: &Reply| {
            let mut rows = print::items(reply.data.as_deref()?).ok()?;
            rows.sort();
            Some(rows)
        };
        let (Some(theirs), Some(ours)) = (rows(self.reference), rows(self.ours)) else {
            return false;
        };
        let only = |rows: &[String], others: &[String]| -> Vec<String> {
            rows.iter()
                .filter(|row| !others.contains(row))
                .cloned()
                .collect()
        };
        let (a, b) = (only(&theirs, &ours), only(&ours, &theirs));
        a.len() == 1 && b.len() == 1 && is_excused(&a[0], &b[0])
    }

    /// Whether an UPSERT did more here, and the result does not fit.
    fn is_unfit_upsert(self) -> bool {
        let is_unfit = matches!(self.ours.error_code(), 3 | 23 | 38 | 39);
        self.request.is_upsert() && is_unfit && !self.reference.is_error()
    }

    /// Whether ours refused another one of several operations.
    fn fails_later(self) -> bool {
        let is_of_update = matches!(
            self.ours.error_code(),
            3 | 23 | 25 | 26 | 29 | 37 | 39 | 94 | 95 | 160 | 201
        );
        is_of_update && self.request.operations().is_some_and(|count| count > 1)
    }

    fn same_as_text(self) -> bool {
        let text = |reply: &Reply| reply.data.as_deref().map(print::text);
        text(self.ours) == text(self.reference) && self.ours.keys == self.reference.keys
    }
}

/// The accepted difference between two answers that are not equal, if it is one.
pub(crate) fn find(answers: Answers<'_>) -> Option<&'static Accepted> {
    ACCEPTED.iter().find(|accepted| (accepted.fits)(answers))
}
