//! What a store keeps on its disk, and what a boot makes of it.
//!
//! | path | what |
//! |---|---|
//! | `/identity` | which store this is, the incarnations it knows, how far a rebuild is |
//! | `/floor` | the floor; absent at first |
//! | `/registers/*` | one file for each register, replaced with each vote |
//! | `/blobs/*` | one file for each blob, never changed |

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use unplug_sim::env::{Env, Refusal};

use crate::{
    codec::{self, CodecError, Kind},
    config::Config,
    durable::{Content, Store},
    epoch::FloorRecord,
    identity,
    register::{Slot, Stamp},
};

pub(crate) const REGISTERS: &str = "/registers";
pub(crate) const BLOBS: &str = "/blobs";
const FLOOR: &str = "/floor";

const ROLE: &str = "store";

/// What makes a disk a store's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(super) kind: identity::Identity,
    /// Which store, and the incarnations that it knows.
    pub(crate) stamp: Stamp,
    /// Whether it has its registers: if not, it abstains.
    pub(crate) serving: bool,
    /// Whether it has its blobs.
    pub(crate) whole: bool,
}

/// What a boot found.
pub(crate) struct Found<E: Env> {
    pub(crate) files: Store<E>,
    pub(crate) identity: Identity,
    pub(crate) floor: Option<FloorRecord>,
    pub(crate) slots: BTreeMap<String, Slot>,
}

#[derive(Serialize, Deserialize)]
struct RegisterFile {
    name: String,
    slot: Slot,
}

impl Identity {
    /// Of a store that has all it should.
    pub(crate) fn of(stamp: Stamp) -> Self {
        let kind = identity::Identity { role: ROLE.to_owned() };
        Self { kind, stamp, serving: true, whole: true }
    }
}

/// The files of a new store of a new cluster.
pub(crate) fn format(store: u16, stores: usize) -> Vec<(String, Bytes)> {
    let identity = Identity::of(Stamp { store, known: vec![1; stores] });
    vec![
        (format!("{REGISTERS}/"), Bytes::new()),
        (format!("{BLOBS}/"), Bytes::new()),
        (identity::PATH.to_owned(), codec::encode(Kind::Identity, &identity)),
    ]
}

/// Names have slashes, files cannot.
pub(crate) fn file_name(name: &str) -> String {
    name.replace('/', ".")
}

/// Settles and reads what is on the disk.
///
/// # Errors
/// A blank disk without leave to rebuild, a foreign one, damage that nobody can make good, any
/// disk error.
#[expect(clippy::fn_params_excessive_bools, reason = "as in the crate's `run`")]
pub(crate) async fn boot<E: Env>(
    env: &E,
    config: &Config,
    rebuild: bool,
) -> Result<Found<E>, Refusal> {
    let files = Store::new(env, config.defects);
    let stores = &config.cluster.stores;
    let place = stores.iter().position(|node| *node == env.node());
    let place =
        place.ok_or_else(|| Refusal::new(format!("{} is none of the stores", env.node())))?;
    let store = u16::try_from(place).expect("few stores");
    files.settle_root(&["identity", "floor"]).await?;
    // Leave to rebuild is for a blank disk: one of another store, or of another version, stays as
    // it is.
    let mut identity = if rebuild && files.read_if_there(identity::PATH).await?.is_none() {
        blank(&files, Stamp { store, known: vec![0; stores.len()] }).await?
    } else {
        read_identity(&files, store).await?
    };
    let registers = read_registers(&files).await?;
    let floor =
        match files.read_if_there(FLOOR).await?.map(|bytes| codec::decode(Kind::Floor, &bytes)) {
            None => Ok(None),
            Some(Ok(floor)) => Ok(Some(floor)),
            Some(Err(error)) => Err(unsound(FLOOR, error)?),
        };
    files.settle(BLOBS).await?;
    let damaged = registers.damaged.first().cloned().or_else(|| floor.as_ref().err().cloned());
    if let Some(damage) = damaged {
        if stores.len() == 1 {
            return Err(Refusal::new(format!(
                "{damage}; restore it from a copy, nothing was changed"
            )));
        }
        // That it forgot must be known at the next boot, too: only then the damage may go.
        identity.serving = false;
        write_identity(&files, &identity).await?;
        for path in &registers.damaged {
            files.remove(path.split(": ").next().unwrap_or_default()).await?;
        }
        files.sync_dir(REGISTERS).await?;
    }
    Ok(Found { files, identity, floor: floor.unwrap_or(None), slots: registers.slots })
}

async fn read_identity<E: Env>(files: &Store<E>, store: u16) -> Result<Identity, Refusal> {
    identity::check(files, ROLE).await.map_err(|Refusal { reason, .. }| {
        Refusal::new(format!("{reason}; or give it leave to rebuild itself from the other stores"))
    })?;
    let identity: Identity = identity::decode(&files.read(identity::PATH).await?)?;
    if identity.stamp.store == store {
        return Ok(identity);
    }
    Err(Refusal::new(format!(
        "{}: the disk is store {}'s, and this node is store {store}",
        identity::PATH,
        identity.stamp.store
    )))
}

/// A disk on which nothing is known: all has to come from the others.
async fn blank<E: Env>(files: &Store<E>, stamp: Stamp) -> Result<Identity, Refusal> {
    if stamp.known.len() == 1 {
        return Err(Refusal::new(
            "the only store cannot be rebuilt: nobody knows what it promised; restore its disk \
             from a copy"
                .to_owned(),
        ));
    }
    for directory in [REGISTERS, BLOBS] {
        files.create_dir(directory).await?;
    }
    files.sync_dir("/").await?;
    let identity = Identity { serving: false, whole: false, ..Identity::of(stamp) };
    write_identity(files, &identity).await?;
    Ok(identity)
}

struct Registers {
    slots: BTreeMap<String, Slot>,
    /// Path and damage of those that are not sound.
    damaged: Vec<String>,
}

async fn read_registers<E: Env>(files: &Store<E>) -> Result<Registers, Refusal> {
    let mut registers = Registers { slots: BTreeMap::new(), damaged: Vec::new() };
    for file in files.settle(REGISTERS).await? {
        let path = format!("{REGISTERS}/{file}");
        let Content::Bytes(bytes) = files.read_sound(&path).await? else {
            registers.damaged.push(format!("{path}: the device cannot read it"));
            continue;
        };
        match codec::decode::<RegisterFile>(Kind::Register, &bytes) {
            Ok(RegisterFile { name, slot }) if file_name(&name) == file => {
                registers.slots.insert(name, slot);
            }
            // A sound register in the place of another: it was written or read at a wrong place.
            Ok(_) => registers.damaged.push(unsound(&path, CodecError::Damaged)?),
            Err(error) => registers.damaged.push(unsound(&path, error)?),
        }
    }
    Ok(registers)
}

/// Damage can be made good from the others; what another version wrote must stay.
fn unsound(path: &str, error: CodecError) -> Result<String, Refusal> {
    match error {
        CodecError::Damaged => Ok(format!("{path}: {error}")),
        CodecError::Version { .. } => {
            Err(Refusal::new(format!("{path}: {error}; run that version, nothing was changed")))
        }
    }
}

pub(crate) async fn write_identity<E: Env>(
    files: &Store<E>,
    identity: &Identity,
) -> Result<(), Refusal> {
    let bytes = codec::encode(Kind::Identity, identity);
    files.replace("", identity::PATH.trim_start_matches('/'), bytes).await
}

pub(crate) async fn write_floor<E: Env>(
    files: &Store<E>,
    floor: &FloorRecord,
) -> Result<(), Refusal> {
    let bytes = codec::encode(Kind::Floor, floor);
    files.replace("", FLOOR.trim_start_matches('/'), bytes).await
}

pub(crate) async fn write_register<E: Env>(
    files: &Store<E>,
    name: &str,
    slot: &Slot,
) -> Result<(), Refusal> {
    let file = RegisterFile { name: name.to_owned(), slot: slot.clone() };
    files.replace(REGISTERS, &file_name(name), codec::encode(Kind::Register, &file)).await
}
