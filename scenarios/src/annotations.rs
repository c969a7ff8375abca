//! Annotations that GitHub shows beside a job: one line of output each, in the form of its
//! [workflow commands](https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions).

use std::io::{self, Write};

use crate::report::Report;

/// Writes one for each failed run, and one for each thing that was not reached.
///
/// # Errors
/// If `out` cannot be written.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for failure in &report.failures {
        let title = format!("unplug: {}, seed {}", failure.scenario, failure.seed);
        let text = format!("{}\nreplay: {}", failure.messages.join("\n"), failure.replay);
        error(&title, &text, out)?;
    }
    for missing in &report.reached.missing {
        error("unplug: not reached", missing, out)?;
    }
    Ok(())
}

fn error(title: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "::error title={}::{}",
        escape(title).replace(':', "%3A").replace(',', "%2C"),
        escape(text)
    )
}

/// What would end the line, or look like an escape.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_it_ends_the_line_or_the_title() {
        let mut out = Vec::new();
        error("a: b, 5%", "one: 5%,\r\ntwo::three", &mut out).expect("written");
        let line = "::error title=a%3A b%2C 5%25::one: 5%25,%0D%0Atwo::three\n";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), line);
    }
}
