//! stub
use crate::{
    config::Config,
    epoch::{BlobRef, FloorRecord, checksum},
    rpc::Rpc,
    store::{Answer, Request},
    tuple::Generation,
};
use bytes::Bytes;
use std::{rc::Rc, time::Duration};
use unplug_sim::env::{Env, Refusal};
#[derive(Debug)]
pub enum StoresError {
    Fenced(Generation),
    BelowFloor(FloorRecord),
    Refused(Refusal),
}
#[derive(Debug)]
pub struct Scan {
    pub floor: Option<FloorRecord>,
    pub registers: Vec<(String, Bytes)>,
}
#[derive(Debug)]
pub struct Stores<E: Env>(Rpc<E>, Rc<Config>);
impl<E: Env> Stores<E> {
    pub fn new(_env: &E, rpc: Rpc<E>, config: Rc<Config>) -> Self {
        Self(rpc, config)
    }
    pub async fn decide(
        &self,
        generation: Generation,
        n: &str,
        value: Bytes,
    ) -> Result<Bytes, StoresError> {
        match self
            .0
            .insist(
                self.1.cluster.stores[0],
                &Request::Decide { generation, name: n.to_owned(), value },
            )
            .await
        {
            Answer::Decided(v) => Ok(v),
            Answer::Fenced(g) => Err(StoresError::Fenced(g)),
            _ => panic!(),
        }
    }
    pub async fn scan(&self, _g: Generation, p: &str) -> Result<Scan, StoresError> {
        let s = self.1.cluster.stores[0];
        let Answer::Names(names) = self.0.insist(s, &Request::List { prefix: p.to_owned() }).await
        else {
            panic!()
        };
        let mut registers = vec![];
        for name in names {
            let Answer::Value(Some(v)) =
                self.0.insist(s, &Request::Read { name: name.clone() }).await
            else {
                panic!()
            };
            registers.push((name, v));
        }
        Ok(Scan { floor: None, registers })
    }
    pub async fn put_blob(
        &self,
        name: String,
        bytes: Bytes,
        p: Duration,
    ) -> Result<BlobRef, String> {
        let r =
            BlobRef { name: name.clone(), checksum: checksum(&bytes), bytes: bytes.len() as u64 };
        match self.0.call(self.1.cluster.stores[0], &Request::Put { name, bytes }, p).await {
            Ok(Answer::Kept) => Ok(r),
            other => Err(format!("{other:?}")),
        }
    }
    pub async fn get_blob(&self, b: &BlobRef, p: Duration) -> Result<Bytes, String> {
        match self.0.call(self.1.cluster.stores[0], &Request::Get { name: b.name.clone() }, p).await
        {
            Ok(Answer::Blob(Some(b))) => Ok(b),
            other => Err(format!("{other:?}")),
        }
    }
    pub async fn raise_floor(&self, _g: Generation, _f: FloorRecord) -> Result<(), StoresError> {
        Ok(())
    }
    pub async fn collect(
        &self,
        _g: Generation,
        _f: FloorRecord,
        _k: Vec<String>,
    ) -> Result<(), StoresError> {
        Ok(())
    }
}
