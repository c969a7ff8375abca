//! One self-contained page of what a campaign found: the suite's table, and of each failing run a
//! diagram in space and time, the plan of faults, and its story in sentences.
//!
//! - this file: the page around its data;
//! - `drawing`: what is drawn of a run, out of its trace;
//! - `story`: the run in sentences;
//! - `page.html`, `page.css`, `page.js`: what a browser makes of the data.
//!
//! The data stand in the page as JSON, and scripts put them into it as text only, so nothing that
//! comes from a file is ever read as markup.

mod drawing;
mod story;

use std::path::Path;

use serde::Serialize;

pub use self::drawing::{Drawing, draw};
use crate::{failure::Failure, files, input::Invalid, report::ScenarioReport};

/// So many failing runs are run again to be drawn.
pub const DRAWINGS_MAX: usize = 5;

/// All that a page shows.
#[derive(Debug, Serialize)]
pub struct Page<'a> {
    /// The version of this program.
    pub version: &'a str,
    /// How it all ended, in a line.
    pub verdict: &'a str,
    /// The suite's table; empty for a single run.
    pub scenarios: &'a [ScenarioReport],
    /// Failing runs.
    pub drawings: Vec<Drawing>,
    /// How many more runs failed, which are not drawn.
    pub more: usize,
}

impl Page<'_> {
    /// The page as HTML.
    ///
    /// # Panics
    /// If the data are no JSON, which they always are.
    #[must_use]
    pub fn html(&self) -> String {
        let data = serde_json::to_string(self).expect("it is data");
        include_str!("page.html")
            .replacen("/*CSS*/", include_str!("page.css"), 1)
            .replacen("/*JS*/", include_str!("page.js"), 1)
            .replacen("/*DATA*/", &harmless(&data), 1)
    }

    /// Writes the page into a file.
    ///
    /// # Errors
    /// If that fails.
    pub fn write(&self, path: &Path) -> Result<(), Invalid> {
        files::write(path, self.html().as_bytes())
    }
}

/// Draws the first of the failures that these files hold; tells how many are left.
///
/// # Errors
/// If one of them cannot be read or run.
pub fn drawings(paths: &[&Path]) -> Result<(Vec<Drawing>, usize), Invalid> {
    let drawn = paths.iter().take(DRAWINGS_MAX).map(|path| {
        let failure = Failure::parse(&path.display().to_string(), &files::read(path)?)?;
        draw(&failure, Some(path))
    });
    Ok((drawn.collect::<Result<_, _>>()?, paths.len().saturating_sub(DRAWINGS_MAX)))
}

/// JSON that nothing in a page takes for the end of a script or for the start of a comment: within
/// JSON, `<` stands in strings only.
fn harmless(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_the_script_that_holds_them() {
        let json = harmless(&serde_json::json!("</script><!--<script>").to_string());
        assert_eq!(json, r#""\u003c/script>\u003c!--\u003cscript>""#);
        let back: String = serde_json::from_str(&json).expect("still JSON");
        assert_eq!(back, "</script><!--<script>");
    }

    #[test]
    fn a_page_is_one_file_that_needs_no_other() {
        let page = Page {
            version: "1",
            verdict: "/*JS*/ </script>",
            scenarios: &[],
            drawings: Vec::new(),
            more: 0,
        };
        let html = page.html();
        assert_eq!(html.matches("</script>").count(), 2, "data and code");
        assert_eq!(html.matches("\"use strict\"").count(), 1, "data are not filled in");
        for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "fetch("] {
            let own = html.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(outside), "{outside}");
        }
    }
}
