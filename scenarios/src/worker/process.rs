//! One worker process, as the campaign sees it: orders go in, answers come out, and it can be
//! ended.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{Answer, Order};
use crate::input::Invalid;

/// So much of what a dying worker says is kept.
const LAST_WORDS_BYTES_MAX: u64 = 64 << 10;

/// What to start as a worker: this program.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
}

impl Program {
    /// The program that is running, whatever has become of its file since.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn this() -> Result<Self, Invalid> {
        let image = Path::new("/proc/self/exe");
        let path = if image.exists() { Ok(image.to_owned()) } else { std::env::current_exe() };
        path.map(|path| Self { path, args: Vec::new() })
            .map_err(|error| Invalid::new(format!("cannot find this program: {error}")))
    }

    /// The program at a path.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), args: Vec::new() }
    }

    pub(super) fn with_args(mut self, args: &[String]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It says nothing any more.
    Waited,
    /// It is gone.
    Ended,
}

/// How a worker ended.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) status: Option<ExitStatus>,
    /// What it said on its standard error, if that was listened to.
    pub(super) last_words: String,
}

/// A running worker.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Answer>,
    last_words: Option<Receiver<String>>,
}

impl Process {
    pub(super) fn start(program: &Program) -> Result<Self, Invalid> {
        Self::spawn(program, false)
    }

    /// One of which every poll is told, and what it says at its end is kept.
    pub(super) fn start_telling(program: &Program) -> Result<Self, Invalid> {
        Self::spawn(program, true)
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "one, behind two names")]
    fn spawn(program: &Program, telling: bool) -> Result<Self, Invalid> {
        let mut command = Command::new(&program.path);
        command.arg("worker").args(&program.args);
        if telling {
            command.arg("--telling").stderr(Stdio::piped());
        }
        // The terminal's Ctrl-C is for the campaign, which lets its workers finish.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        child.and_then(Self::listen).map_err(|error| {
            let path = program.path.display();
            Invalid::new(format!("cannot start {path} as a worker process: {error}"))
        })
    }

    fn listen(mut child: Child) -> io::Result<Self> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let orders = child.stdin.take().ok_or_else(gone)?;
        let answers = answers(child.stdout.take().ok_or_else(gone)?)?;
        let last_words = child.stderr.take().map(last_words).transpose()?;
        Ok(Self { child, orders, answers, last_words })
    }

    pub(super) fn order(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line).and_then(|()| self.orders.flush())
    }

    pub(super) fn answer(&self, patience: Duration) -> Result<Answer, Silence> {
        self.answers.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => Silence::Waited,
            RecvTimeoutError::Disconnected => Silence::Ended,
        })
    }

    /// Ends it if it has not ended by itself.
    pub(super) fn end(mut self, silence: Silence) -> Death {
        if silence == Silence::Waited {
            // One that is gone by now is what was wanted.
            let _ = self.child.kill();
        }
        let status = self.child.wait().ok();
        let last_words = self.last_words.take().and_then(|words| words.recv().ok());
        Death { status, last_words: last_words.unwrap_or_default() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads answers until there are no more, or one makes no sense.
#[expect(
    clippy::disallowed_methods,
    reason = "a pipe cannot be waited for with a limit but by another thread"
)]
fn answers(pipe: ChildStdout) -> io::Result<Receiver<Answer>> {
    let (sender, answers) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let answers = BufReader::new(pipe)
            .lines()
            .map_while(|line| serde_json::from_str(&line.ok()?).ok())
            .map_while(|answer| sender.send(answer).ok());
        answers.for_each(drop);
    })?;
    Ok(answers)
}

/// Reads a standard error to its end.
#[expect(
    clippy::disallowed_methods,
    reason = "a full pipe would hold up the process that is to be watched"
)]
fn last_words(pipe: ChildStderr) -> io::Result<Receiver<String>> {
    let (sender, words) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let mut text = Vec::new();
        let mut pipe = pipe.take(LAST_WORDS_BYTES_MAX);
        // What came before an error is still worth something.
        let _ = pipe.read_to_end(&mut text);
        let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
    })?;
    Ok(words)
}
