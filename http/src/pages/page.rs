//! The page: three files, and nothing from elsewhere.

use crate::door::{Answer, Door, Question};

const INDEX: &str = include_str!("../../page/index.html");
const SCRIPT: &str = include_str!("../../page/status.js");
const STYLE: &str = include_str!("../../page/status.css");

/// `/`
pub(crate) fn index(_: &Door, _: &Question) -> Answer {
    Answer::new(200, "text/html; charset=utf-8", INDEX)
}

/// `/status.js`
pub(crate) fn script(_: &Door, _: &Question) -> Answer {
    Answer::new(200, "text/javascript; charset=utf-8", SCRIPT)
}

/// `/status.css`
pub(crate) fn style(_: &Door, _: &Question) -> Answer {
    Answer::new(200, "text/css; charset=utf-8", STYLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small() {
        let size = INDEX.len() + SCRIPT.len() + STYLE.len();
        assert!(size < 60_000, "{size} bytes");
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for file in [INDEX, SCRIPT, STYLE] {
            for line in file.lines().filter(|line| line.contains("://")) {
                // The one name that SVG has to be made by is an address of nothing.
                let rest = line.replace("http://www.w3.org/2000/svg", "");
                assert!(!rest.contains("://"), "{line}");
            }
            assert!(!file.contains("@import"));
        }
    }

    #[test]
    fn the_policy_of_the_door_lets_it_run() {
        for banned in [" style=", "<style", " onclick=", " onload=", "<script>"] {
            assert!(!INDEX.contains(banned), "{banned}");
        }
        assert!(!SCRIPT.contains("setAttribute(\"style\""));
    }

    #[test]
    fn no_markup_is_made_of_data() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "createContextualFragment",
            "eval(",
            "Function(",
            "srcdoc",
        ] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }
}
