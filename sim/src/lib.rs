//! A deterministic simulated machine: clock, scheduler, network, disks and power, from one seed.
//!
//! Faults come as a plan: losses of power, killed, paused and slow processes, partitions, wrong
//! clocks, and disks that are lost, fail, fill up or get slow; see [`fault`].
//!
//! A program written against [`env::Env`] runs here on virtual nanoseconds. Every draw comes from
//! the world's seed, every effect of a node has a number, and a fault can strike between any two.
//! The same seed and the same plan of faults give the same run, digest for digest.
//!
//! ```
//! use unplug_sim::{Site, World, WorldConfig, env::{Disk, Env, File, OpenMode}, fault::Plan};
//!
//! let mut world = World::new(WorldConfig::new(7));
//! let node = world.add_node("writer", Site::DataCentre, |env| async move {
//!     let file = env.disk().open("/log", OpenMode::Create).await.expect("a disk without faults");
//!     file.append("hello".into()).await.expect("a disk without faults");
//!     // Without this, a power cut may keep any part of the bytes; without a sync of the
//!     // directory, not even the name.
//!     file.sync_all().await.expect("a disk without faults");
//!     env.disk().sync_dir("/").await.expect("a disk without faults");
//!     env.mark("written");
//!     Ok(())
//! });
//! let plan: Plan = serde_json::from_str(r#"{"faults": [{
//!     "when": {"from_ns": 0, "on": {"node": "writer", "effect": {"mark": "written"}, "nth": 1, "edge": "after"}},
//!     "what": {"power_loss": {"target": "data_centre", "down_ns": 1000000}}}]}"#).unwrap();
//! world.load(&plan).unwrap();
//! world.start(node);
//! world.run_until(1_000_000_000);
//! assert_eq!(world.fired().len(), 1);
//! assert_eq!(world.disk(node, |disk| disk.read_dir("/")), Ok(vec!["log".to_owned()]));
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`mod@env`] | the contract between a node and its machine |
//! | [`World`] | a cluster of machines and the loop that runs it |
//! | [`fault`] | plans of faults, as data |
//! | [`disk`] | the disk model: what a power cut may leave, usable without a world |
//! | [`random`] | labelled random streams |

pub mod disk;
pub mod env;
pub mod fault;
pub mod random;

mod clock;
mod config;
mod disk_trouble;
mod disturbance;
mod fired;
mod glitch;
mod machine;
mod machine_disk;
mod net;
mod partition;
mod pause;
mod plan;
mod power;
mod queue;
mod schedule;
mod state;
mod strike;
mod timer;
mod trace;
mod world;

pub use config::{ClockConfig, DiskTiming, NanosRange, NetworkConfig, Ratio, Site, WorldConfig};
pub use fired::{Crash, End, Ended, Fired};
pub use machine::{SimEnv, SimNet, SimSocket, WALL_START_NS};
pub use machine_disk::{SimDisk, SimFile};
pub use net::INBOX_DATAGRAMS_MAX;
pub use plan::PlanError;
pub use schedule::Schedule;
pub use state::MarkHit;
pub use trace::{Digest, EffectKind, Recorder};
pub use world::{Stop, World};
