//! Values of a query's parameters that DuckDB asks for while it runs.
//!
//! DuckDB plans a prepared statement anew for each execution whose parameters are bound, which
//! takes longer than the rest of a lookup. A statement that calls a function where the placeholder
//! stood is planned once: the function is volatile, so that DuckDB does not take its value for a
//! constant, and returns the value that the session has at the moment.

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, StringArray},
    datatypes::Int64Type,
};
use duckdb::{
    Connection,
    core::{DataChunkHandle, LogicalTypeId},
    vscalar::{ScalarFunctionSignature, VScalar},
    vtab::arrow::{WritableVector, data_chunk_to_arrow, write_arrow_array_to_vector},
};
use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use streamsync_core::Parameter;

/// The values of a session's parameters.
#[derive(Clone, Default)]
pub(crate) struct Parameters(Arc<Mutex<Vec<Parameter>>>);

impl Parameters {
    pub(crate) fn set(&self, values: &[Parameter]) {
        self.lock().extend_from_slice(values);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Parameter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The function that returns parameters of this kind, if there is one. Its argument is the
/// placeholder's number, counted from 1.
pub(crate) fn function(session: u64, value: &Parameter) -> Option<String> {
    match value {
        Parameter::Text(_) => Some(text_function(session)),
        Parameter::Integer(value) if i64::try_from(*value).is_ok() => {
            Some(integer_function(session))
        }
        _ => None,
    }
}

fn text_function(session: u64) -> String {
    format!("text_parameter_{session}")
}

fn integer_function(session: u64) -> String {
    format!("integer_parameter_{session}")
}

/// Makes the functions of a session.
pub(crate) fn register(
    connection: &Connection,
    session: u64,
    parameters: &Parameters,
) -> Result<(), duckdb::Error> {
    let name = text_function(session);
    connection.register_scalar_function_with_state::<TextParameter>(&name, parameters)?;
    let name = integer_function(session);
    connection.register_scalar_function_with_state::<IntegerParameter>(&name, parameters)
}

struct TextParameter;

struct IntegerParameter;

impl VScalar for TextParameter {
    type State = Parameters;

    fn invoke(
        state: &Parameters,
        calls: &mut DataChunkHandle,
        output: &mut dyn WritableVector,
    ) -> Result<(), Box<dyn Error>> {
        match asked(state, calls)? {
            (Parameter::Text(text), rows) => {
                let values = StringArray::from_iter_values(std::iter::repeat_n(text, rows));
                write_arrow_array_to_vector(&(Arc::new(values) as ArrayRef), output)
            }
            (other, _) => Err(format!("parameter {other:?} is not text").into()),
        }
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        signature(LogicalTypeId::Varchar)
    }

    fn volatile() -> bool {
        true
    }
}

impl VScalar for IntegerParameter {
    type State = Parameters;

    fn invoke(
        state: &Parameters,
        calls: &mut DataChunkHandle,
        output: &mut dyn WritableVector,
    ) -> Result<(), Box<dyn Error>> {
        match asked(state, calls)? {
            (Parameter::Integer(value), rows) => {
                let values = Int64Array::from_value(i64::try_from(value)?, rows);
                write_arrow_array_to_vector(&(Arc::new(values) as ArrayRef), output)
            }
            (other, _) => Err(format!("parameter {other:?} is not an integer").into()),
        }
    }

    fn signatures() -> Vec<ScalarFunctionSignature> {
        signature(LogicalTypeId::Bigint)
    }

    fn volatile() -> bool {
        true
    }
}

fn signature(returns: LogicalTypeId) -> Vec<ScalarFunctionSignature> {
    vec![ScalarFunctionSignature::exact(
        vec![LogicalTypeId::Bigint.into()],
        returns.into(),
    )]
}

/// The parameter that a chunk of calls asks for, and how many calls there are. All of them ask for
/// the same one, because the number is a literal.
fn asked(
    parameters: &Parameters,
    calls: &DataChunkHandle,
) -> Result<(Parameter, usize), Box<dyn Error>> {
    let calls = data_chunk_to_arrow(calls)?;
    let numbers = calls.column(0).as_primitive::<Int64Type>();
    let number = usize::try_from(numbers.value(0))?;
    let values = parameters.lock();
    let value = number.checked_sub(1).and_then(|at| values.get(at));
    match value {
        Some(value) => Ok((value.clone(), calls.num_rows())),
        None => Err(format!("there is no parameter {number}").into()),
    }
}
