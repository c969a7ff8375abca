//! What is asked of redb, whose code is as its authors published it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use unplug_sim::disk::Disk;

use super::{
    backend::{Backend, CrashPoint},
    workload::{Change, Content},
};

/// An error of redb or of the disk.
pub(crate) type Failure = Box<dyn std::error::Error>;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("table");
/// Enough for all of a small database.
const CACHE_BYTES: usize = 16 << 20;

/// Opens the database; it is made if the file is empty.
pub(crate) fn open(disk: Disk, crash_point: CrashPoint) -> Result<Database, Failure> {
    let backend = Backend::open(disk, crash_point)?;
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

/// Opens the database and reads all of it, then closes it. A panic of redb is an error.
pub(crate) fn try_open(disk: Disk, crash_point: CrashPoint) -> Result<Content, String> {
    let read = || content(&open(disk, crash_point)?);
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(content) => content.map_err(|failure| failure.to_string()),
        Err(_) => Err("redb panicked".to_owned()),
    }
}

/// One transaction, durable when this returns.
pub(crate) fn commit(database: &Database, changes: &[Change]) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut table = transaction.open_table(TABLE)?;
        for (key, value) in changes {
            match value {
                Some(value) => drop(table.insert(key, &**value)?),
                None => drop(table.remove(key)?),
            }
        }
    }
    Ok(transaction.commit()?)
}

/// All that a database holds.
fn content(database: &Database) -> Result<Content, Failure> {
    let table = match database.begin_read()?.open_table(TABLE) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Content::new()),
        Err(error) => return Err(error.into()),
    };
    let mut content = Content::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        content.insert(key.value(), Bytes::copy_from_slice(value.value()));
    }
    Ok(content)
}
