//! stub
use std::{rc::Rc, time::Duration};
use bytes::Bytes;
use unplug_sim::env::{Env, Refusal};
use crate::{config::Config, epoch::{BlobRef, FloorRecord}, rpc::Rpc, tuple::Generation};
#[derive(Debug)]
pub enum StoresError { Fenced(Generation), BelowFloor(FloorRecord), Refused(Refusal) }
#[derive(Debug)]
pub struct Scan { pub floor: Option<FloorRecord>, pub registers: Vec<(String, Bytes)> }
#[derive(Debug)]
pub struct Stores<E: Env>(std::marker::PhantomData<E>);
impl<E: Env> Stores<E> {
    pub fn new(_env: &E, _rpc: Rpc<E>, _config: Rc<Config>) -> Self { Self(std::marker::PhantomData) }
    pub async fn decide(&self, _g: Generation, _n: &str, v: Bytes) -> Result<Bytes, StoresError> { Ok(v) }
    pub async fn scan(&self, _g: Generation, _p: &str) -> Result<Scan, StoresError> { Ok(Scan { floor: None, registers: vec![] }) }
    pub async fn put_blob(&self, _n: String, _b: Bytes, _p: Duration) -> Result<BlobRef, String> { Err(String::new()) }
    pub async fn get_blob(&self, _b: &BlobRef, _p: Duration) -> Result<Bytes, String> { Err(String::new()) }
    pub async fn raise_floor(&self, _g: Generation, _f: FloorRecord) -> Result<(), StoresError> { Ok(()) }
    pub async fn collect(&self, _g: Generation, _f: FloorRecord, _k: Vec<String>) -> Result<(), StoresError> { Ok(()) }
}
