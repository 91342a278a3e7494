//! Values of a query's parameters that DuckDB asks for while it runs.
//!
//! DuckDB plans a prepared statement anew for each execution whose parameters are bound, which
//! takes longer than the rest of a lookup. A statement that calls a function where the placeholder
//! stood is planned once: the function is volatile, so that DuckDB does not take its value for a
//! constant, and returns the value that the session has at the moment.

use arrow::{
    array::{Array, Int64Array, RecordBatch, StringArray},
    datatypes::DataType,
};
use duckdb::{
    Connection,
    vscalar::{ArrowFunctionSignature, VArrowScalar},
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

/// The parameter that a chunk of calls asks for, and how many calls there are. All of them ask for
/// the same one, because the number is a literal.
fn asked(parameters: &Parameters, calls: &RecordBatch) -> Option<(Parameter, usize)> {
    let numbers = calls.column(0).as_any().downcast_ref::<Int64Array>()?;
    let number = usize::try_from(numbers.values().first().copied()?).ok()?;
    let value = parameters.lock().get(number.checked_sub(1)?)?.clone();
    Some((value, calls.num_rows()))
}

impl VArrowScalar for TextParameter {
    type State = Parameters;

    fn invoke(state: &Parameters, calls: RecordBatch) -> Result<Arc<dyn Array>, Box<dyn Error>> {
        match asked(state, &calls) {
            Some((Parameter::Text(text), rows)) => Ok(Arc::new(StringArray::from_iter_values(
                std::iter::repeat_n(text, rows),
            ))),
            other => Err(format!("there is no such parameter of type text: {other:?}").into()),
        }
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::exact(
            vec![DataType::Int64],
            DataType::Utf8,
        )]
    }

    fn volatile() -> bool {
        true
    }
}

impl VArrowScalar for IntegerParameter {
    type State = Parameters;

    fn invoke(state: &Parameters, calls: RecordBatch) -> Result<Arc<dyn Array>, Box<dyn Error>> {
        let found = asked(state, &calls);
        let integer = found.as_ref().and_then(|(value, rows)| match value {
            Parameter::Integer(value) => Some((i64::try_from(*value).ok()?, *rows)),
            _ => None,
        });
        match integer {
            Some((value, rows)) => Ok(Arc::new(Int64Array::from_value(value, rows))),
            None => Err(format!("there is no such parameter of type integer: {found:?}").into()),
        }
    }

    fn signatures() -> Vec<ArrowFunctionSignature> {
        vec![ArrowFunctionSignature::exact(
            vec![DataType::Int64],
            DataType::Int64,
        )]
    }

    fn volatile() -> bool {
        true
    }
}
