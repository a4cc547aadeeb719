"""The operations of the Redshift Data API (JSON 1.1).

Reads:  an operation's name and its request.
Gives:  the response; or an ApiError.

Source: Redshift Data API reference, version 2019-12-20.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from sandbox.redshift.errors import ApiError, invalid, not_found
from sandbox.redshift.jobs import DONE, Job, Jobs, Part
from sandbox.redshift.statements import placeholders

Json = dict[str, Any]
STATEMENT_BYTES_MAX: Final = 100_000
STATEMENTS_MAX: Final = 40
_STATUSES: Final = frozenset({"SUBMITTED", "PICKED", "STARTED", *DONE})
_ID: Final = re.compile(r"[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\d{1,2})?")


class DataApi:
    """The operations, over one workgroup.

    Args:
        jobs: What was submitted.
        submit: Takes a new job and has it run.
        workgroup: The only workgroup there is.
    """

    def __init__(self, jobs: Jobs, submit: Callable[[Job], None], workgroup: str) -> None:
        self.jobs, self.submit, self.workgroup = jobs, submit, workgroup
        self._operations: dict[str, Callable[[Json, float, str | None], Json]] = {
            "ExecuteStatement": self._execute,
            "BatchExecuteStatement": self._batch_execute,
            "DescribeStatement": self._describe,
            "GetStatementResult": self._result,
            "CancelStatement": self._cancel,
            "ListStatements": self._list,
        }

    def answer(self, operation: str, request: Json, delay_s: float = 0.0, user: str | None = None) -> Json:
        """Carry out one operation.

        Args:
            operation: Name as in X-Amz-Target, without the service.
            request: The request's members.
            delay_s: Fault control: what is submitted takes so much longer before it commits.
            user: The database's user for the caller's identity; None for the administrator.

        Raises:
            ApiError: What the API answers instead.
        """
        if operation not in self._operations:
            raise ApiError("UnknownOperationException", f"the sandbox's Data API has no operation {operation}")
        return self._operations[operation](request, delay_s, user)

    def _execute(self, request: Json, delay_s: float, user: str | None) -> Json:
        sql = _text(request, "Sql", required=True)
        return self._start(request, [sql], is_batch=False, delay_s=delay_s, user=user)

    def _batch_execute(self, request: Json, delay_s: float, user: str | None) -> Json:
        sqls = request.get("Sqls")
        if not isinstance(sqls, list) or not 1 <= len(sqls) <= STATEMENTS_MAX:
            raise _broken("sqls", f"Member must have length between 1 and {STATEMENTS_MAX}, inclusive")
        if request.get("ExecutionMode", "TRANSACTION") != "TRANSACTION":
            raise invalid("the sandbox knows ExecutionMode TRANSACTION only")
        return self._start(request, [str(sql) for sql in sqls], is_batch=True, delay_s=delay_s, user=user)

    def _start(self, request: Json, sqls: list[str], *, is_batch: bool, delay_s: float, user: str | None) -> Json:
        self._check_target(request)
        seconds = _wait_time(request)
        if any(not 1 <= len(sql.encode()) <= STATEMENT_BYTES_MAX for sql in sqls):
            raise invalid(f"SQL statement cannot be empty or larger than {STATEMENT_BYTES_MAX // 1000} KB")
        token = request.get("ClientToken")
        if token is not None and not 1 <= len(_text(request, "ClientToken")) <= 64:
            raise _broken("clientToken", "Member must have length between 1 and 64, inclusive")
        job = Job(
            parts=[Part(sql) for sql in sqls],
            database=_text(request, "Database", required=True),
            workgroup=self.workgroup,
            parameters=_parameters(request, sqls),
            is_batch=is_batch,
            name=_text(request, "StatementName"),
            delay_s=delay_s,
            user=None if request.get("SecretArn") else user,
        )
        job, is_new = self.jobs.add(job, token)
        if is_new:
            self.submit(job)
        answer = {**_where(job), "Id": job.id, "CreatedAt": job.created_at}
        if seconds:
            self.jobs.wait(job, seconds)
            answer |= {"Status": job.status, "HasResultSet": _has_result(job), "RedshiftPid": job.pid}
        return answer

    def _check_target(self, request: Json) -> None:
        for later in ("SessionId", "SessionKeepAliveSeconds"):
            if request.get(later):
                raise invalid(f"the sandbox knows no sessions ({later})")
        if request.get("ResultFormat", "JSON") != "JSON":
            raise invalid("the sandbox knows ResultFormat JSON only")
        if request.get("ClusterIdentifier"):
            raise invalid("Redshift endpoint doesn't exist in this region.")
        workgroup = _text(request, "WorkgroupName")
        if not workgroup:
            raise invalid("Either ClusterIdentifier or WorkgroupName needs to be specified.")
        if workgroup.rpartition("/")[2] != self.workgroup:
            raise invalid("Redshift endpoint doesn't exist in this region.")

    def _describe(self, request: Json, _delay_s: float, _user: str | None) -> Json:
        job, place = self._found(request)
        self.jobs.wait(job, _wait_time(request))
        if place is not None:
            return {**_where(job), **_part(job, place)}
        answer = {**_where(job), **_times(job.created_at, job.updated_at), "Id": job.id, "Status": job.status}
        answer |= {
            "HasResultSet": _has_result(job),
            "RedshiftPid": job.pid,
            "RedshiftQueryId": -1 if job.is_batch else job.parts[0].query_id,
            "ResultFormat": "JSON",
        }
        answer["Duration"] = sum(max(part.duration_ns, 0) for part in job.parts)
        if job.error:
            answer["Error"] = job.error
        if job.parameters:
            answer["QueryParameters"] = [{"name": name, "value": value} for name, value in job.parameters.items()]
        if job.is_batch:
            answer |= {"ResultRows": -1, "ResultSize": -1, "ExecutionMode": "TRANSACTION"}
            answer["SubStatements"] = [_part(job, number) for number in range(len(job.parts))]
        else:
            answer |= _measures(job.parts[0])
            answer["QueryString"] = job.parts[0].sql
        return answer

    def _result(self, request: Json, _delay_s: float, _user: str | None) -> Json:
        job, place = self._found(request)
        self.jobs.wait(job, _wait_time(request))
        if job.is_batch and place is None:
            raise invalid("BatchExecuteStatement result can only be retrieved with sub-statement id.")
        result = job.parts[place or 0].result if job.status == "FINISHED" else None
        if result is None:
            raise not_found(
                "Query does not have result. Please check query status with DescribeStatement.", str(request["Id"])
            )
        start = request.get("NextToken", "0")
        if not str(start).isdigit() or int(start) > result.rows:
            raise invalid("Invalid NextToken")
        return result.page(int(start))

    def _cancel(self, request: Json, _delay_s: float, _user: str | None) -> Json:
        job, place = self._found(request)
        if place is not None:
            raise invalid("A sub-statement cannot be canceled; cancel the batch.")
        self.jobs.cancel(job)
        return {"Status": True}

    def _list(self, request: Json, _delay_s: float, _user: str | None) -> Json:
        wanted = request.get("Status", "ALL")
        if wanted != "ALL" and wanted not in _STATUSES:
            raise _broken("status", "Member must satisfy enum value set")
        name = _text(request, "StatementName")
        found = [job for job in self.jobs.newest_first() if wanted in ("ALL", job.status) and job.name.startswith(name)]
        start, size = int(request.get("NextToken", 0)), int(request.get("MaxResults") or 100)
        answer: Json = {"Statements": [_listed(job) for job in found[start : start + size]]}
        if start + size < len(found):
            answer["NextToken"] = str(start + size)
        return answer

    def _found(self, request: Json) -> tuple[Job, int | None]:
        statement = _text(request, "Id", required=True)
        if not _ID.fullmatch(statement):
            raise invalid("id must satisfy regex pattern: [a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\\d+)?")
        return self.jobs.find(statement)


def _text(request: Json, member: str, *, required: bool = False) -> str:
    value = request.get(member)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not value:
        raise _broken(member[0].lower() + member[1:], "Member must not be null")
    return value


def _broken(member: str, rule: str) -> ApiError:
    return invalid(f"1 validation error detected: Value at '{member}' failed to satisfy constraint: {rule}")


def _wait_time(request: Json) -> float:
    seconds = request.get("WaitTimeSeconds")
    if seconds is None:
        return 0.0
    if not isinstance(seconds, int) or not 1 <= seconds <= 30:
        raise _broken("waitTimeSeconds", "Member must be between 1 and 30, inclusive")
    return float(seconds)


def _parameters(request: Json, sqls: list[str]) -> dict[str, str]:
    given = request.get("Parameters")
    if given is None:
        return {}
    if not isinstance(given, list) or not given:
        raise _broken("parameters", "Member must have length greater than or equal to 1")
    parameters: dict[str, str] = {}
    for parameter in given:
        name, value = _text(parameter, "name", required=True), parameter.get("value")
        if not isinstance(value, str) or not value:
            raise _broken(f"parameters.{name}.value", "Member must have length greater than or equal to 1")
        if not re.fullmatch(r"[0-9a-zA-Z_]+", name):
            raise _broken("parameters.name", "Member must satisfy regular expression pattern: [0-9a-zA-Z_]+")
        if name in parameters:
            raise invalid(f"Duplicate parameter: {name}")
        parameters[name] = value
    unused = sorted(parameters.keys() - set().union(*(placeholders(sql) for sql in sqls)))
    if unused:
        raise invalid(f"Parameters list contains unused parameters. Unused parameters: {unused}")
    return parameters


def _where(job: Job) -> Json:
    return {"WorkgroupName": job.workgroup, "Database": job.database, "DbUser": job.user or "sandbox"}


def _times(created_at: float, updated_at: float) -> Json:
    return {"CreatedAt": created_at, "UpdatedAt": updated_at}


def _has_result(job: Job) -> bool:
    return job.status == "FINISHED" and any(part.result is not None for part in job.parts)


def _measures(part: Part) -> Json:
    return {"ResultRows": part.rows, "ResultSize": part.result.size if part.result else 0}


def _part(job: Job, number: int) -> Json:
    part = job.parts[number]
    answer = {
        **_times(part.began_at or job.created_at, part.ended_at or job.updated_at),
        **_measures(part),
        "Id": f"{job.id}:{number + 1}",
        "Status": part.status,
        "Duration": part.duration_ns,
        "QueryString": part.sql,
        "RedshiftQueryId": part.query_id,
        "HasResultSet": part.result is not None,
    }
    if part.error:
        answer["Error"] = part.error
    return answer


def _listed(job: Job) -> Json:
    strings = {"QueryStrings": [part.sql for part in job.parts]} if job.is_batch else {"QueryString": job.parts[0].sql}
    return {
        **_times(job.created_at, job.updated_at),
        **strings,
        "Id": job.id,
        "Status": job.status,
        "StatementName": job.name,
        "IsBatchStatement": job.is_batch,
    }
