//! The store: write-once registers, on which all agree, and immutable blobs, which registers name.
//!
//! Several stores keep the same; a majority is enough. What a store may vote on is decided in
//! [`crate::register`], without I/O; here it is carried out: a vote is answered only after it is
//! durable.

mod blobs;
mod files;
mod rebuild;
mod server;

use std::{pin::pin, rc::Rc};

use bytes::Bytes;
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use unplug_sim::env::{Env, Exit};

use self::server::Server;
use crate::{
    config::Config,
    epoch::{BlobRef, FloorRecord},
    register::{Ask, Refused, Stamp, Vote, acceptor::Page},
    rpc::{Handling, Rpc},
    tuple::Generation,
};

pub(crate) use self::files::format;

/// What is asked of a store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Vote on a register.
    Vote {
        /// The leadership on whose behalf; 0 for nobody's, which is never fenced.
        generation: Generation,
        /// The register's name.
        name: String,
        /// What exactly.
        ask: Ask,
    },
    /// Take note of a decision.
    Learn {
        /// The register's name.
        name: String,
        /// Its value.
        value: Bytes,
    },
    /// Show the registers that begin so, a page of them.
    Scan {
        /// As in a vote.
        generation: Generation,
        /// The beginning.
        prefix: String,
        /// The last name of the page before; empty for the first page.
        after: String,
    },
    /// Refuse, durably, what is below.
    RaiseFloor {
        /// As in a vote.
        generation: Generation,
        /// The floor.
        floor: FloorRecord,
    },
    /// Delete what is below. A majority must have raised its floor before.
    Collect {
        /// As in a vote.
        generation: Generation,
        /// The floor.
        floor: FloorRecord,
        /// Blobs below the floor that are needed.
        keep: Vec<String>,
    },
    /// Keep a blob.
    Put {
        /// Its name, never used before for another content.
        name: String,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Keep a blob that is missing or damaged here; also one below the floor.
    Repair {
        /// The blob.
        blob: BlobRef,
        /// Its bytes, whole.
        bytes: Bytes,
    },
    /// Give a blob.
    Get {
        /// Its name.
        name: String,
    },
    /// From a store that forgot: which incarnations do you know?
    Incarnations,
    /// From a store that forgot: it has this incarnation now; hand over a page of all registers.
    HandOver {
        /// The store's place in the cluster's list.
        store: u16,
        /// Its new incarnation.
        incarnation: u64,
        /// The last name of the page before; empty for the first page.
        after: String,
    },
    /// From a store that forgot: the blobs' files, a page of them.
    Files {
        /// The last name of the page before; empty for the first page.
        after: String,
    },
    /// From a store that forgot: give the blob in this file.
    GetFile {
        /// The file.
        file: String,
    },
}

/// What a store answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers, and what it knows of the others.
    pub stamp: Stamp,
    /// The answer itself.
    pub body: Body,
}

/// The answer itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body {
    /// A vote, which is durable.
    Vote(Vote),
    /// No vote, and why.
    Refused(Refused),
    /// Registers.
    Page(Page),
    /// A blob, if there is one.
    Blob(Option<Bytes>),
    /// Names of files, and whether there are more.
    Files(Vec<String>, bool),
    /// It is done, durably.
    Done,
}

/// Runs a store. With `rebuild`, one whose disk is blank may learn from the others what it may
/// have promised; without, it refuses to serve.
///
/// # Errors
/// A blank or foreign disk, damage that cannot be made good from the others, any disk error.
#[expect(clippy::fn_params_excessive_bools, reason = "as in the crate's `run`")]
pub async fn run<E: Env>(env: E, config: Rc<Config>, rebuild: bool) -> Exit {
    let found = files::boot(&env, &config, rebuild).await?;
    let rpc = Rpc::open(&env)?;
    let server = Rc::new(Server::new(env, rpc.clone(), config, found));
    let rebuilding = rebuild::run(Rc::clone(&server));
    let serving = rpc.serve_from(move |_, request| match server.at_once(request) {
        Ok(answer) => Handling::Done(Ok(answer)),
        Err(request) => Handling::Work(Rc::clone(&server).answer(request)),
    });
    match select(pin!(serving), pin!(rebuilding)).await {
        Either::Left((exit, _)) => exit,
        Either::Right((Err(refusal), _)) => Err(refusal),
        Either::Right((Ok(()), serving)) => serving.await,
    }
}
