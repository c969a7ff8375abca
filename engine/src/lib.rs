//! An exactly-once streaming engine, generic over the machine it runs on.
//!
//! **The promise.** Pull the plug of any node, or of all of them, between any two effects: each
//! tuple that the broker acknowledged is in the table once, what a reader has seen never goes, and
//! each published epoch says up to where the source is in it.
//!
//! **The way of one tuple.** A producer sends it to the [`broker`], which appends it to its
//! partition's [`log`], syncs, and acknowledges its offset. The [`driver`] has the next epoch's
//! offset ranges decided in a register of the [`store`]; then, and not before, an [`executor`]
//! reads exactly that range, runs the [`pipeline`] over it, and keeps the rows as a blob under a
//! name of its own. The driver has the chosen blobs decided as the epoch's commit. The [`sink`]
//! fetches them and puts rows and cut in one atomic write; then a reader may see them.
//!
//! **Why that is enough.** All that must be agreed on is a write-once register; all bulk data is
//! immutable and read by nobody until a register names it. A process that comes back from the dead
//! can decide nothing twice, and what it writes has names that no one looks for.
//!
//! | module | what |
//! |---|---|
//! | [`mod@tuple`], [`epoch`], [`config`] | what flows, what is decided, what all know |
//! | [`broker`], [`store`], [`driver`], [`executor`], [`sink`] | the roles |
//! | [`driver::core`] | the driver's decisions, pure |
//! | [`pipeline`] | operators, their graph, its check; windows |
//! | [`state`], [`accumulator`] | what operators keep from one epoch to the next |
//! | [`client`], [`layout`] | producers and readers; which partition a tuple belongs to |
//! | [`source`] | files as sources |
//! | [`progress`] | epochs in numbers |
//! | [`register`] | what a store votes on, and how a register is decided, pure |
//! | [`stores`] | registers and blobs as those use them who need them |
//! | [`rpc`], [`codec`], [`durable`], [`log`] | written once: requests, formats, durable puts, logs |
//! | [`steps`] | the marks of the seven steps |
//! | [`defect`] | bugs planted on purpose, behind a feature |

pub mod accumulator;
pub mod broker;
pub mod client;
pub mod codec;
pub mod config;
pub mod defect;
pub mod driver;
pub mod durable;
pub mod epoch;
pub mod executor;
mod identity;
pub mod layout;
pub mod log;
mod log_paths;
pub mod pipeline;
pub mod progress;
pub mod register;
pub mod rpc;
pub mod sink;
pub mod source;
pub mod state;
pub mod steps;
pub mod store;
pub mod stores;
pub mod task;
pub mod tuple;

use std::rc::Rc;

use unplug_sim::env::{Env, Exit};

pub use config::{Cluster, Config, Role, SinkKind, Trigger};

/// Runs one node of the engine. It ends only with a refusal.
///
/// `rebuild` gives a store whose disk is blank leave to learn from the others what it may have
/// promised, and then to take part again. It changes nothing for a store that has its disk, nor
/// for any other role.
///
/// # Errors
/// What the node must not go on from: what, where, what to do.
#[expect(clippy::fn_params_excessive_bools, reason = "one, and the world knows it as a flag")]
pub async fn run<E: Env>(env: E, role: Role, config: Rc<Config>, rebuild: bool) -> Exit {
    match role {
        Role::Broker => broker::run(env, config).await,
        Role::Store => store::run(env, config, rebuild).await,
        Role::Driver => driver::run(env, config).await,
        Role::Executor => executor::run(env, config).await,
        Role::Sink => sink::run(env, config).await,
    }
}
