//! A cluster of three stores around the pure core, small enough that all that can happen to it
//! can be tried.

mod model;
mod render;
mod search;
mod step;

pub(crate) use self::{
    model::Limits,
    search::{Broken, Explored, explore},
};
