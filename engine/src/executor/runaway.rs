//! Tasks that never end well, planted on purpose: see [`Defect::RUNAWAYS`].

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use unplug_sim::env::{Address, Disk, Env, File, Net, NodeId, OpenMode, Port, Socket};

use crate::defect::{Defect, Defects};

/// One boot in so many has such a task, so that most seeds of a few have none.
const BOOTS: u64 = 16;

/// What a task writes or sends at a time.
const PIECE_BYTES: usize = 1 << 16;

/// Starts the tasks that are switched on.
pub(super) fn start<E: Env>(env: &E, defects: Defects) {
    for defect in Defect::RUNAWAYS.into_iter().filter(|defect| defects.has(*defect)) {
        if !env.random().is_multiple_of(BOOTS) {
            continue;
        }
        let own = env.clone();
        env.spawn("runaway", async move {
            own.sleep(Duration::from_millis(200)).await;
            run(&own, defect).await;
        });
    }
}

async fn run<E: Env>(env: &E, defect: Defect) {
    match defect {
        Defect::TaskSpins => spin(),
        Defect::TaskWakesItself => {
            std::future::poll_fn::<(), _>(|context| {
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
        }
        Defect::TaskPanics => panic!("a task that panics"),
        Defect::TaskOverflows => _ = overflow(1),
        Defect::TaskHoards => hoard(),
        Defect::TaskFloods => flood(env).await,
        Defect::TaskFillsDisk => fill(env).await,
        Defect::AckBeforeSync
        | Defect::SkipDirSync
        | Defect::SinkNotIdempotent
        | Defect::ZombieNotFenced
        | Defect::WatermarkNotCommitted
        | Defect::TrimBeforeCheckpoint
        | Defect::VoteBeforeSync
        | Defect::RebuiltVotesAtOnce
        | Defect::IncarnationsIgnored
        | Defect::BlobUnverified
        | Defect::SyncErrorIgnored
        | Defect::SyncRetried
        | Defect::FramesShareSectors
        | Defect::RefusedTuplesRemembered
        | Defect::ManifestIgnoredByReader
        | Defect::PreparedTwinCommitted
        | Defect::SlidingExpiresEarly
        | Defect::SessionMergeLosesOne
        | Defect::JoinNoMatchedFlag
        | Defect::DedupForgetsOnRestore
        | Defect::LateByNewWatermark
        | Defect::AdditionForgotten
        | Defect::StrangersIgnored
        | Defect::FullSourceNotTrimmed => {}
    }
}

fn spin() {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn overflow(depth: u64) -> u64 {
    // It never is.
    if black_box(depth) == 0 {
        return 0;
    }
    let frame = black_box([depth; 64]);
    black_box(overflow(depth + 1)) + frame[0]
}

fn hoard() {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1u8; PIECE_BYTES]));
    }
}

async fn flood<E: Env>(env: &E) {
    let Ok(socket) = env.net().bind(Port(9)) else { return };
    let to = Address { node: NodeId(0), port: Port(9) };
    let payload = Bytes::from(vec![0; PIECE_BYTES]);
    loop {
        let _ = socket.send(to, payload.clone());
        env.busy(Duration::from_nanos(1)).await;
    }
}

async fn fill<E: Env>(env: &E) {
    let Ok(file) = env.disk().open("/runaway", OpenMode::Create).await else { return };
    let piece = Bytes::from(vec![1; PIECE_BYTES]);
    loop {
        let _ = file.append(piece.clone()).await;
    }
}
