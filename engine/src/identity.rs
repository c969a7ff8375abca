//! A disk's identity: written by formatting, before the first boot, and never again.
//!
//! A node whose disk is blank does not know what it promised before; it must not serve.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use unplug_sim::env::{Env, Refusal};

use crate::{
    codec::{self, Kind},
    durable::Store,
};

pub(crate) const PATH: &str = "/identity";

/// What the identity of each role begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) role: String,
}

/// The file that makes a blank disk one of this role.
pub(crate) fn file(role: &str) -> (String, Bytes) {
    (PATH.to_owned(), codec::encode(Kind::Identity, &Identity { role: role.to_owned() }))
}

/// Checks that the disk was formatted for this role.
///
/// # Errors
/// If it was not.
pub(crate) async fn check<E: Env>(files: &Store<E>, role: &str) -> Result<(), Refusal> {
    let Some(bytes) = files.read_if_there(PATH).await? else {
        return Err(Refusal::new(format!(
            "{PATH} is missing: the disk is blank, and a {role} on a blank disk would forget what \
             it promised; format it for a new cluster, or restore it"
        )));
    };
    decode::<Identity>(&bytes).and_then(|identity| of_role(&identity, role))
}

/// Decodes an identity.
///
/// # Errors
/// If it is damaged.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Refusal> {
    codec::decode(Kind::Identity, bytes).map_err(|error| {
        Refusal::new(format!("{PATH}: {error}; restore it from a copy, nothing was changed"))
    })
}

/// Checks that an identity is of this role.
///
/// # Errors
/// If it is not.
pub(crate) fn of_role(identity: &Identity, role: &str) -> Result<(), Refusal> {
    if identity.role == role {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "{PATH}: the disk is a {}'s, and this node is a {role}",
        identity.role
    )))
}
