//! The trace of a run in the forms that `unplug replay --trace` leaves it in.

mod perfetto;

use std::io::{self, Write};

use clap::ValueEnum;
use unplug_sim::Event;

use self::perfetto::Perfetto;

/// The form of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line an event, to be read
    Text,
    /// A JSON object a line, for programs
    Jsonl,
    /// Chrome's trace events: open it in ui.perfetto.dev or chrome://tracing
    Perfetto,
    /// A page with a diagram of the whole run and its story
    Html,
}

/// Writes a trace, event by event.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Text,
    Jsonl,
    Perfetto(Box<Perfetto>),
}

impl<W: Write> Writer<W> {
    /// Begins a trace of a run whose nodes, by their numbers, have these names. A page is made of a
    /// whole run: see [`crate::page`].
    ///
    /// # Errors
    /// If `out` cannot be written.
    ///
    /// # Panics
    /// If the form is a page.
    pub fn new(format: Format, nodes: &[String], mut out: W) -> io::Result<Self> {
        let form = match format {
            Format::Text => Form::Text,
            Format::Jsonl => Form::Jsonl,
            Format::Html => panic!("a page is no list of events"),
            Format::Perfetto => Form::Perfetto(Box::new(Perfetto::begin(nodes, &mut out)?)),
        };
        Ok(Self { out, form })
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        match &mut self.form {
            Form::Text => writeln!(self.out, "{event}"),
            Form::Jsonl => {
                serde_json::to_writer(&mut self.out, event)?;
                self.out.write_all(b"\n")
            }
            Form::Perfetto(perfetto) => perfetto.event(event, &mut self.out),
        }
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        if let Form::Perfetto(perfetto) = self.form {
            perfetto.end(&mut self.out)?;
        }
        self.out.flush()
    }
}
