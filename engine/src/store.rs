//! The store: write-once registers, on which all agree, and immutable blobs, which registers name.
//!
//! Both are files put durably; an answer is given only after. The first decision of a name wins
//! for ever, and every later one is told the winner. That alone makes the protocol safe; the
//! refusal of older generations only saves work.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use unplug_sim::env::{Env, Exit, Refusal};

use crate::{
    codec::{self, Kind},
    config::Config,
    durable::{Put, Store},
    epoch::register,
    identity,
    rpc::Rpc,
    steps::Step,
    tuple::Generation,
};

pub(crate) const REGISTERS: &str = "/registers";
pub(crate) const BLOBS: &str = "/blobs";

/// What is asked of a store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Decide a register, unless it is decided.
    Decide {
        /// The leadership on whose behalf.
        generation: Generation,
        /// The register's name.
        name: String,
        /// The value proposed.
        value: Bytes,
    },
    /// Read a register.
    Read {
        /// The register's name.
        name: String,
    },
    /// The names of decided registers that begin so, sorted.
    List {
        /// The beginning.
        prefix: String,
    },
    /// Keep a blob.
    Put {
        /// Its name, never used before for another content.
        name: String,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Give a blob.
    Get {
        /// Its name.
        name: String,
    },
}

/// What a store answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// The value that the register has, durably: the proposed one or another.
    Decided(Bytes),
    /// A higher generation leads.
    Fenced(Generation),
    /// The register's value, if it is decided.
    Value(Option<Bytes>),
    /// Names.
    Names(Vec<String>),
    /// The blob is durable.
    Kept,
    /// The blob, if there is one.
    Blob(Option<Bytes>),
}

#[derive(Serialize, Deserialize)]
struct RegisterFile {
    name: String,
    value: Bytes,
}

struct State<E: Env> {
    env: E,
    files: Store<E>,
    registers: RefCell<BTreeMap<String, Bytes>>,
}

/// Runs a store.
///
/// # Errors
/// A blank or foreign disk, a damaged register, any disk error.
pub async fn run<E: Env>(env: E, config: Rc<Config>) -> Exit {
    let files = Store::new(&env, config.defects);
    identity::check(&files, "store").await?;
    let mut registers = BTreeMap::new();
    for file in files.settle(REGISTERS).await? {
        let path = format!("{REGISTERS}/{file}");
        let RegisterFile { name, value } = codec::decode(Kind::Register, &files.read(&path).await?)
            .map_err(|error| {
                Refusal(format!("{path}: {error}; restore it from a copy, nothing was changed"))
            })?;
        registers.insert(name, value);
    }
    files.settle(BLOBS).await?;
    let rpc = Rpc::open(&env)?;
    let state = Rc::new(State { env, files, registers: RefCell::new(registers) });
    rpc.serve(move |request| answer(Rc::clone(&state), request)).await
}

async fn answer<E: Env>(state: Rc<State<E>>, request: Request) -> Result<Answer, Refusal> {
    Ok(match request {
        Request::Decide { generation, name, value } => {
            state.decide(generation, name, value).await?
        }
        Request::Read { name } => Answer::Value(state.registers.borrow().get(&name).cloned()),
        Request::List { prefix } => {
            let registers = state.registers.borrow();
            let names = registers.range(prefix.clone()..).map(|(name, _)| name);
            Answer::Names(names.take_while(|name| name.starts_with(&prefix)).cloned().collect())
        }
        Request::Put { name, bytes } => {
            let _step = Step::Blobs.enter(&state.env);
            state.files.put(BLOBS, &file_name(&name), bytes).await?;
            Answer::Kept
        }
        Request::Get { name } => {
            let path = format!("{BLOBS}/{}", file_name(&name));
            Answer::Blob(state.files.read_if_there(&path).await?)
        }
    })
}

impl<E: Env> State<E> {
    async fn decide(
        &self,
        generation: Generation,
        name: String,
        value: Bytes,
    ) -> Result<Answer, Refusal> {
        if let Some(decided) = self.registers.borrow().get(&name) {
            return Ok(Answer::Decided(decided.clone()));
        }
        let current = self.generation();
        if generation < current {
            return Ok(Answer::Fenced(current));
        }
        let _step = register::step(&name).map(|step| step.enter(&self.env));
        let file = file_name(&name);
        let bytes = codec::encode(
            Kind::Register,
            &RegisterFile { name: name.clone(), value: value.clone() },
        );
        let value = match self.files.put(REGISTERS, &file, bytes).await? {
            Put::Done => value,
            Put::Exists(bytes) => {
                let decided: RegisterFile =
                    codec::decode(Kind::Register, &bytes).map_err(|error| {
                        Refusal(format!("{REGISTERS}/{file}: {error}; restore it from a copy"))
                    })?;
                decided.value
            }
        };
        self.registers.borrow_mut().insert(name, value.clone());
        Ok(Answer::Decided(value))
    }

    /// The highest generation decided here.
    fn generation(&self) -> Generation {
        let registers = self.registers.borrow();
        let names = registers.range(register::GENERATIONS.to_owned()..).map(|(name, _)| name);
        let last = names.take_while(|name| name.starts_with(register::GENERATIONS)).last();
        Generation(last.and_then(|name| register::number(name)).unwrap_or(0))
    }
}

/// Names have slashes, files cannot.
fn file_name(name: &str) -> String {
    name.replace('/', ".")
}
