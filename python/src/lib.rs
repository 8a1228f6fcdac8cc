//! `laminardb._laminardb`: the engine's session as Python classes.
//!
//! The layer is thin and every class is frozen: values are converted, errors become exceptions, and whatever may wait
//! does so with the interpreter lock released, always through `detach.rs`.

mod argument;
mod awaiting;
mod capsule;
mod catalog;
mod checkpoint;
mod config;
mod detach;
mod entrance;
mod error;
mod foreign;
mod fork;
mod functions;
mod give_back;
mod memory_limit;
mod metrics;
mod open;
mod params;
mod result;
mod schema;
mod session;
mod show;
mod stream;
mod subscription;
mod text;
mod transaction;
mod value;
mod visible;
mod writer;

use laminardb_bridge::memory::Counting;
use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

/// The native module.
#[pymodule(gil_used = false)]
fn _laminardb(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::register(module)?;
    let hook = wrap_pyfunction!(entrance::close_entrance, module)?;
    module.py().import("atexit")?.call_method1("register", (hook,))?;
    module.add_class::<awaiting::Job>()?;
    module.add_class::<config::LaminarConfig>()?;
    module.add_class::<session::Connection>()?;
    module.add_class::<writer::Writer>()?;
    module.add_class::<transaction::Transaction>()?;
    module.add_class::<transaction::TransactionInfo>()?;
    module.add_class::<session::OpenTransaction>()?;
    module.add_class::<stream::QueryStreamIter>()?;
    module.add_class::<result::QueryResult>()?;
    module.add_class::<result::ExecuteResult>()?;
    module.add_class::<checkpoint::CheckpointResult>()?;
    module.add_class::<subscription::ChangeBatch>()?;
    module.add_class::<subscription::Subscription>()?;
    module.add_class::<subscription::StreamSubscription>()?;
    module.add_class::<subscription::AsyncSubscription>()?;
    module.add_class::<subscription::AsyncStreamSubscription>()?;
    module.add_class::<subscription::CallbackSubscription>()?;
    module.add_class::<catalog::SourceInfo>()?;
    module.add_class::<catalog::SinkInfo>()?;
    module.add_class::<catalog::StreamInfo>()?;
    module.add_class::<catalog::QueryInfo>()?;
    module.add_class::<catalog::PipelineNode>()?;
    module.add_class::<catalog::PipelineEdge>()?;
    module.add_class::<catalog::PipelineTopology>()?;
    module.add_class::<metrics::PipelineMetrics>()?;
    module.add_class::<metrics::SourceMetrics>()?;
    module.add_class::<metrics::StreamMetrics>()?;
    module.add_function(wrap_pyfunction!(visible::visible, module)?)?;
    module.add_function(wrap_pyfunction!(functions::functions, module)?)?;
    module.add_function(wrap_pyfunction!(open::open, module)?)?;
    module.add_function(wrap_pyfunction!(open::connect, module)?)
}
