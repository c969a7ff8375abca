//! Producers whose input is a file: on each such node a program writes the file, line after line, and
//! the engine's feeder reads it.
//!
//! The writer is none of the engine. It writes without a sync and tears lines; after a crash it makes
//! the file again what it was meant to be, from the first byte on that is missing or other. A feeder
//! that sent what was not durable would meet a file that is shorter than what it has read.

use std::{rc::Rc, time::Duration};

use futures_util::future::try_join;
use unplug_engine::source::{self, DeadLetter, Feed, feeder::DEAD_LETTERS};
use unplug_sim::{
    SimEnv, WALL_START_NS,
    disk::{Disk, Profile, Tree},
    env::{Disk as _, DiskError, DiskResult, Env, Exit, File, OpenMode, Refusal},
};

use crate::{
    clients::Clients,
    outcome::{Verdict, VerdictKind},
    workload::lines::{Written, schema},
};

const FILE: &str = "/input";
/// The writer writes so often, and the feeder looks so often.
const EVERY: Duration = Duration::from_millis(100);

/// The disk of such a node before its first boot.
///
/// # Panics
/// Never: there is room for a directory.
pub(crate) fn blank_disk(profile: Profile) -> Disk {
    let mut disk = Disk::with_profile(profile);
    disk.create_dir(DEAD_LETTERS).expect("a blank disk");
    disk.make_durable();
    disk
}

/// The program of a node.
///
/// # Errors
/// A file that is not what it was; any disk error.
pub(crate) async fn run(env: SimEnv, number: u16, clients: Rc<Clients>) -> Exit {
    let failed = |error: DiskError| Refusal::new(format!("{FILE}: {error}"));
    let files = clients.files.as_ref().expect("only where there are files");
    let len = mend(&env, &files.written[usize::from(number)]).await.map_err(failed)?;
    let written = &files.written[usize::from(number)];
    let writing = async { write(&env, written, len).await.map_err(failed) };
    let feed = Feed {
        path: FILE.to_owned(),
        schema: schema(files.format),
        producer: number,
        broker: clients.broker,
        partitions: clients.partitions,
        complete: false,
        poll: EVERY,
    };
    let acknowledged = |sent| clients.has_sent(&env, number, sent);
    try_join(source::feed(env.clone(), feed, acknowledged), writing).await.map(|_| ())
}

/// Brings what a crash left of the file back to what was meant to be in it; gives its length.
async fn mend(env: &SimEnv, written: &Written) -> DiskResult<usize> {
    let disk = env.disk();
    let file = again(|| disk.open(FILE, OpenMode::Create)).await?;
    // What the cache shows may be nowhere else.
    again(|| file.sync_all()).await?;
    again(|| file.drop_cached()).await?;
    let mut right = 0;
    loop {
        let want = &written.bytes[right..(right + 4096).min(written.bytes.len())];
        let is = again(|| file.read_at(right as u64, want.len())).await?;
        let same = is.iter().zip(want).take_while(|(is, want)| is == want).count();
        right += same;
        if same == 0 {
            break;
        }
    }
    again(|| file.set_len(right as u64)).await?;
    again(|| file.sync_all()).await?;
    again(|| disk.sync_dir("/")).await?;
    Ok(right)
}

/// Writes on as lines are due, and half of the next one.
async fn write(env: &SimEnv, written: &Written, mut len: usize) -> DiskResult<()> {
    let disk = env.disk();
    let file = again(|| disk.open(FILE, OpenMode::Write)).await?;
    while len < written.bytes.len() {
        let now_ns = env.wall().0 - WALL_START_NS;
        let due = written.grows.partition_point(|(due_ns, _)| *due_ns <= now_ns);
        let whole = due.checked_sub(1).map_or(0, |last| written.grows[last].1);
        let next = written.grows.get(due).map_or(whole, |(_, end)| *end);
        let end = whole + (next - whole) / 2;
        while len < end {
            let bytes = written.bytes.slice(len..end);
            match again(|| file.write_at(len as u64, bytes.clone())).await? {
                0 => return Err(DiskError::NoSpace),
                taken => len += taken,
            }
        }
        env.sleep(EVERY).await;
    }
    Ok(())
}

/// An operation of a disk, again as long as it is interrupted.
async fn again<T, F: Future<Output = DiskResult<T>>>(work: impl Fn() -> F) -> DiskResult<T> {
    loop {
        match work().await {
            Err(DiskError::Interrupted) => {}
            done => return done,
        }
    }
}

/// Judges the dead letters that a feeder's disk holds at the end of a run in which all was delivered:
/// one for each line that is no record, and no other.
pub(crate) fn dead_letters(left: &Tree, name: &str, written: &Written) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut add = |kind, message: String| verdicts.push(Verdict { kind, message });
    let mut wanted = written.dead.clone();
    let prefix = format!("{DEAD_LETTERS}/");
    for (path, (_, bytes)) in left {
        // Other names are of puts that a crash cut off.
        let name_of = path.strip_prefix(&prefix);
        if !name_of.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            continue;
        }
        let letter = match serde_json::from_slice::<DeadLetter>(bytes) {
            Ok(letter) => letter,
            Err(error) => {
                add(VerdictKind::Corrupt, format!("{name}: {path} is no dead letter: {error}"));
                continue;
            }
        };
        match wanted.iter().position(|(at, text)| (*at, text) == (letter.at, &letter.text)) {
            Some(place) => drop(wanted.remove(place)),
            None => {
                let DeadLetter { at, text, .. } = letter;
                let what = format!("{name}: a dead letter of byte {at}, {text:?}, which is none");
                add(VerdictKind::Phantom, what);
            }
        }
    }
    if let Some((at, text)) = wanted.first() {
        let count = wanted.len();
        let message = format!(
            "{name}: {count} lines are no records and no dead letters; the first is at byte {at}: \
             {text:?}"
        );
        add(VerdictKind::Lost, message);
    }
    verdicts
}
