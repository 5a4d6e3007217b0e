"""Mistakes made in the sources on purpose: each must be caught by a test.

``python -m benchmarks.mutations [word ...]`` makes them one by one, each in a copy of the tree of its own (all of them
take about a quarter of an hour; words choose those in whose names or files they stand), runs the tests that should catch
it, and prints which one did. It ends with 1 when one survives. With ``--record FILE`` a run that was stopped goes on.

A mutation names the text that it replaces; a test keeps that this stands in its file exactly once, so that the list
cannot go out of date unnoticed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cellsim.solver.step_loop_cache import CACHE

__all__ = ["MUTATIONS", "Mutation"]

ROOT = Path(__file__).resolve().parents[1]
_LEFT_BEHIND = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "*-report")
# what pytest ends with: tests failed, or a file could not even be imported
_FAILED, _INTERRUPTED = 1, 2


@dataclass(frozen=True)
class Mutation:
    """One mistake.

    Attributes
    ----------
    name : str
        What goes wrong.
    file : str
        From the root of the tree.
    old, new : str
        What stands there, exactly once, and what takes its place.
    tests : tuple of str
        Files, or tests in files, that should catch it.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _of(file: str, *mutations: tuple[str, str, str, str]) -> tuple[Mutation, ...]:
    """Mutations of one file: name, old text, new text, tests with blanks between them."""
    return tuple(
        Mutation(name, file, old, new, tuple(f"tests/{test}" for test in tests.split()))
        for name, old, new, tests in mutations
    )


# fmt: off
MUTATIONS = (
    # ---- doses and schedules ------------------------------------------------------------------------------
    *_of(
        "cellsim/dosing/schedule.py",
        ("two equal doses become one", "tuple(sorted(infusions, key=_place))", "tuple(sorted(set(infusions), key=_place))",
         "dosing/test_schedule.py::test_words"),
        ("a cut leaves out the dose of its day", "if first <= each.day < last", "if first < each.day < last",
         "dosing/test_schedule.py::test_a_cut_gives_two_parts_that_add_to_the_whole"),
        ("doses at equal intervals begin one interval late", "[first + each * step for each in range(max(count, 1))]",
         "[first + (each + 1) * step for each in range(max(count, 1))]", "dosing/test_schedule.py::test_the_published_case_has_twelve_infusions_and_725_million_cells"),
        ("own and donor cells are exchanged", "sources[each.product] == source]", "sources[each.product] != source]",
         "dosing/test_schedule.py::test_sources_and_products"),
    ),
    *_of(
        "cellsim/dosing/delivery.py",
        ("a bolus is given twice", "boluses.append((infusion.day, state, amount))",
         "boluses.extend(2 * [(infusion.day, state, amount)])", "solver/test_simulation.py::test_bolus_and_zero_order_doses_match_the_closed_form"),
        ("the duration of an infusion is ignored", "if length > 0:", "if length > 1e9:", "solver/test_simulation.py::test_bolus_and_zero_order_doses_match_the_closed_form"),
        ("every dose is of the first product", "state, scale = entries[infusion.product]", "state, scale = next(iter(entries.values()))",
         "solver/test_simulation.py::test_cells_reach_the_state_in_its_unit"),
        ("cells are not divided by what the model's unit counts", "amount = infusion.cells / scale", "amount = infusion.cells",
         "solver/test_simulation.py::test_bolus_and_zero_order_doses_match_the_closed_form"),
        ("a lag is lost", "(each.arrival, each.cells", "(each.day, each.cells",
         "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("all of a dose arrives", "each.arrival, each.cells * each.bioavailability,", "each.arrival, each.cells,",
         "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("an infusion runs through a reset", "if each.end > stop:", "if False:", "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("the tails of a course are lost", "while (left := each.duration - behind) > 0:", "while (left := -1.0) > 0:",
         "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("the factor of a unit's own definition is lost", "scale * float(match[1] or 1.0), match[2]", "scale, match[2]",
         "solver/test_simulation.py::test_bolus_and_zero_order_doses_match_the_closed_form"),
    ),
    *_of(
        "cellsim/dosing/row_reader.py",
        ("hours are read as days", ' / (self.hours if timed == "time" else 1.0)', "", "dosing/test_schedule.py::test_rate_duration_and_hours"),
        ("a lag in hours is read as days", ' / (self.hours if name == "alag" else 1.0)', "", "dosing/test_dose_records.py::test_a_table_in_hours_is_the_same_one"),
        ("SS is ignored", "        if steady:\n            yield SteadyState(", "        if False:\n            yield SteadyState(",
         "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("SS 2 is read as SS 1", "added=steady == 2.0, lag=lag", "added=False, lag=lag", "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("II in hours is read as days", 'self.number(row, "ii") / self.hours', 'self.number(row, "ii")', "dosing/test_dose_records.py::test_a_table_in_hours_is_the_same_one"),
        ("EVID 3 and 4 reset nothing", "            if resets:\n", "            if False:\n", "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("ADDL gives one dose less", "for step in range(int(more) + 1):", "for step in range(max(int(more), 1)):",
         "dosing/test_schedule.py::test_nonmem_columns_write_out_additional_doses"),
        ("ADDL repeats the first day", "day + step * interval", "day", "dosing/test_schedule.py::test_nonmem_columns_write_out_additional_doses"),
        ("an amount in millions of cells is read as cells", 'amount * self.amount if column == "amt" else amount', "amount",
         "dosing/test_schedule.py::test_nonmem_columns_write_out_additional_doses"),
        ("DUR is ignored", 'self.number(row, "dur") / self.hours', '0.0 * self.number(row, "dur")', "dosing/test_schedule.py::test_rate_duration_and_hours"),
        ("an empty amount is read as zero", "if is_blank(row.get(column)):", "if False:",
         "dosing/test_schedule.py::test_tables_that_are_refused"),
        ("a share that arrives lengthens no rate", "implied = amount * share / rate / self.hours",
         "implied = amount / rate / self.hours", "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
    ),
    *_of(
        "cellsim/dosing/tables.py",
        ("a reset leaves further doses be", "kept = [each for each in kept if each.day < event.day]", "pass",
         "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("a row left out by C is kept", "if each[0] not in left_out], True", "], True", "petab/test_tables.py::test_what_nonmem_gives_is_given"),
    ),
    *_of(
        "cellsim/dates.py",
        ("a date is a day off", "return (moment - datetime.combine(day_zero, time()))",
         "return 1.0 + (moment - datetime.combine(day_zero, time()))", "dosing/test_schedule.py::test_dates_and_days_are_the_same_schedule"),
    ),
    *_of(
        "cellsim/units.py",
        ("a micro is ten times too large", '("micro", "1e-6", "u", "µ", "μ")', '("micro", "1e-5", "u", "µ", "μ")', "test_units.py::test_conversion_matches_the_si_definitions"),
        ("powers of a unit are not carried", "Unit(self.factor**exponent,", "Unit(self.factor,", "test_units.py::test_conversion_matches_the_si_definitions"),
    ),
    # ---- readers ------------------------------------------------------------------------------------------
    *_of(
        "cellsim/delimited.py",
        ("a decimal comma is read as a point", "plain = text.strip()\n    if _INFINITE", 'plain = text.strip().replace(",", ".")\n    if _INFINITE',
         "petab/test_tables.py::test_what_python_takes_for_a_number_and_nobody_else_is_refused"),
        ("the last row of a table is lost", "return Table(tuple(name for name in columns if name), tuple(rows),",
         "return Table(tuple(name for name in columns if name), tuple(rows[:-1]),", "petab/test_tables.py::test_what_csv_writes_is_read_as_csv_reads_it"),
        ("a short row is filled up whatever separates", '(len(cells) >= columns or separator == "\\t")', "True",
         "petab/test_tables.py::test_a_short_row_is_refused_where_no_editor_drops_the_separator"),
        ("two quotes in a quoted cell stay two", "cells.append(found[0][1:-1].replace('\"\"', '\"'))",
         "cells.append(found[0][1:-1])", "petab/test_tables.py::test_what_csv_writes_is_read_as_csv_reads_it"),
    ),
    *_of(
        "cellsim/petab/tables.py",
        ("an empty cell is read as zero", "            return default\n        try:",
         "            return 0.0 if default is None else default\n        try:", "petab/test_tables.py::test_an_empty_cell_is_never_zero"),
    ),
    *_of(
        "cellsim/petab/plain.py",
        ("a value printed twice is counted once", 'more["replicateId"] = f"r{seen[same]}"', "continue",
         "petab/test_plain.py::test_a_case_stripped_of_its_own_tables_keeps_its_standard_part"),
    ),
    *_of(
        "cellsim/case/new_tables.py",
        ("repeats of one sample are told apart no more", 'return f"r{same.index(value) + 1}" if len(same) > 1 else ""', 'return ""',
         "spreadsheets/test_new_case.py::test_repeats_of_one_sample_are_scored_each"),
    ),
    *_of(
        "cellsim/spreadsheets/event_table.py",
        ("CENS 1 and -1 are exchanged", '{0.0: "", 1.0: "left", -1.0: "right"}', '{0.0: "", 1.0: "right", -1.0: "left"}',
         "spreadsheets/test_event_table.py::test_a_table_of_nonmem_is_read_by_its_conventions"),
        ("CENS is ignored", 'value, mark = reader.number(row, "dv"), reader.number(row, "cens")', 'value, mark = reader.number(row, "dv"), 0.0',
         "spreadsheets/test_event_table.py::test_a_table_of_nonmem_is_read_by_its_conventions"),
        ("a steady state of a case has one dose less behind it", "for k in range(run_in, 0, -1)", "for k in range(run_in - 1, 0, -1)",
         "spreadsheets/test_event_table.py::test_a_steady_state_of_a_case_is_the_doses_that_led_there"),
    ),
    *_of(
        "cellsim/spreadsheets/lab_values.py",
        ("a visit stands a day late", "out.append((visit.when - datetime.combine(zero, time())) / timedelta(seconds=_SECONDS))",
         "out.append(1.0 + (visit.when - datetime.combine(zero, time())) / timedelta(seconds=_SECONDS))", "spreadsheets/test_new_case.py::test_one_patient_in_three_shapes_is_one_case"),
    ),
    *_of(
        "cellsim/spreadsheets/doses.py",
        ("a dose of a sheet stands a day late", "return (when - datetime.combine(zero, time())) / timedelta(days=1)",
         "return 1.0 + (when - datetime.combine(zero, time())) / timedelta(days=1)", "spreadsheets/test_new_case.py::test_doses_and_visits_by_date_stand_on_their_days"),
    ),
    *_of(
        "cellsim/estimation/courses.py",
        ("a state that a condition sets keeps its old derivative", "self.dy[k] = 0.0 if value.slope is None else value.slope[0]",
         "pass", "estimation/test_problems.py::test_pre_equilibration_of_version_1_keeps_states_and_not_constants"),
        ("an event that was met before a period is asked anew", "self.before = self._triggers()", "self.before = None",
         "estimation/test_problems.py::test_events_are_asked_once_whatever_the_periods"),
        ("constants stay between the conditions of PEtab 1", "        if period.anew:", "        if False:", "estimation/test_problems.py::test_pre_equilibration_of_version_1_keeps_states_and_not_constants"),
        ("a period ends after what happens at its end", "float(np.nextafter(end, -np.inf))", "float(end)", "estimation/test_problems.py::test_events_are_asked_once_whatever_the_periods"),
        ("pre-equilibration is skipped", "            self._begin(period)\n            self._rest()", "            self._begin(period)",
         "estimation/test_problems.py::test_pre_equilibration_of_version_1_keeps_states_and_not_constants"),
        ("all experiments begin with the first one's pre-equilibration", "key = tuple(sorted((each.target, each.value) for each in period.changes))",
         "key = ()", "estimation/test_problems.py::test_pre_equilibration_of_version_2_and_two_conditions_at_once"),
        ("a row at infinite time is read before rest", "self.y, self.dy = start\n                self._rest()", "self.y, self.dy = start",
         "estimation/test_problems.py::test_periods_of_version_2_set_all_at_once_from_what_is_there"),
        ("a parameter that an equation uses has no slope", "seeds.append(dp[k])", "seeds.append(0.0 * dp[k])", "estimation/test_problems.py::test_gradients_are_those_of_differences"),
    ),
    *_of(
        "cellsim/estimation/problem.py",
        ("the prior is counted twice", "return prior + self.log_likelihood(", "return 2 * prior + self.log_likelihood(",
         "estimation/test_problems.py::test_every_prior_of_version_2_is_scipys_truncated_to_the_bounds"),
        ("the prior is dropped", "return prior + self.log_likelihood(", "return self.log_likelihood(", "estimation/test_problems.py::test_every_prior_of_version_2_is_scipys_truncated_to_the_bounds"),
        ("a parameter on a scale is flat off it", 'family = "uniform" if row.scale == "lin" or row.lower <= 0 else "log-uniform"',
         'family = "uniform"', "estimation/test_problems.py::test_priors_of_version_1_are_densities_of_the_parameter_itself"),
    ),
    *_of(
        "cellsim/estimation/scoring.py",
        ("log10 noise is read as that of natural logarithms", 'base = _LN10 if one.about.scale == "log10" else 1.0', "base = 1.0",
         "estimation/test_problems.py::test_every_law_of_noise_is_scipys"),
        ("a gradient forgets the spread", "(2 * fall * residual**2 / 2 - 1.0)[:, None] * by_spread", "0.0 * by_spread",
         "estimation/test_problems.py::test_every_law_of_noise_is_scipys"),
        ("every row has the first one's observable parameters", "[row.parameters[k] for row in self.rows]",
         "[self.rows[0].parameters[k] for row in self.rows]", "estimation/test_problems.py::test_every_law_of_noise_is_scipys"),
        ("every row has the first one's noise parameters", "[row.noise_parameters[k] for row in self.rows]",
         "[self.rows[0].noise_parameters[k] for row in self.rows]", "estimation/test_problems.py::test_every_law_of_noise_is_scipys"),
        ("every row is of the first one's experiment", "take(courses[row.experiment])[i, k]", "take(courses[one.rows[0].experiment])[i, k]",
         "estimation/test_problems.py::test_conditions_of_version_1_set_values_starts_and_what_is_worked_out_from_them"),
        ("Laplace noise is read as normal", 'law = laplace if one.about.law == "laplace" else gaussian', "law = gaussian",
         "estimation/test_problems.py::test_every_law_of_noise_is_scipys"),
        ("the first row is lost", "for row in part.measurements:", "for row in part.measurements[1:]:", "estimation/test_problems.py::test_conditions_of_version_1_set_values_starts_and_what_is_worked_out_from_them"),
    ),
    *_of(
        "cellsim/estimation/coordinates.py",
        ("a coordinate forgets the scale in its slope", "return np.where(self.logged, np.exp(np.where(self.logged, u, 0.0)), 1.0)",
         "return np.ones(len(u))", "estimation/test_fits.py::test_a_fit_of_two_conditions_is_least_squares_with_its_standard_errors"),
        ("a fit forgets the priors", 'residuals = np.concatenate([residual, cost, q])', 'residuals = np.concatenate([residual, cost, 0.0 * q])',
         "estimation/test_fits.py::test_priors_pull_the_estimate_as_bayes_says_and_bounds_hold_it"),
    ),
    *_of(
        "cellsim/petab/version_1.py",
        ("a prior on a log10 scale is read as one on a natural one", '_LN10 if scale == "log10" else 1.0', "1.0",
         "estimation/test_problems.py::test_priors_of_version_1_are_densities_of_the_parameter_itself"),
    ),
    *_of(
        "cellsim/petab/folder.py",
        ("files outside the folder are read", "        if depth < 0:", "        if depth < -99:", "estimation/test_problems.py::test_what_is_wrong_is_told_by_file_and_row"),
    ),
    *_of(
        "cellsim/petab/doses_read.py",
        ("a dose of PEtab misses its scale", "names[0] if names else target, amount * scale))",
         "names[0] if names else target, amount))", "petab/test_petab.py::test_without_our_columns_the_same_cells_arrive_over_the_same_time"),
        ("a rate of PEtab is taken for an amount", "steps[begin][0] * (end - begin) * scale", "steps[begin][0] * scale",
         "petab/test_petab.py::test_without_our_columns_the_same_cells_arrive_over_the_same_time"),
    ),
    *_of(
        "cellsim/model/sbml_formulas.py",
        ("the delay of an event is ignored", "self.number(delay.getMath(), f\"delay of event {name}\") if delay is not None",
         "None if delay is not None", "model/test_sbml_constructs.py::test_it_means_what_libroadrunner_takes_it_for"),
        ("an event that is true at the start never fires", "bool(trigger.getInitialValue()) if trigger.isSetInitialValue()",
         "True if trigger.isSetInitialValue()", "model/test_formats.py::test_event_true_at_the_start_fires_only_when_told_so"),
        ("an initial assignment is lost", 'else self.number(start.getMath(), f"{name} at the start")',
         "else sp.Integer(0)", "model/test_formats.py::test_equations_read_back_match_roadrunner_on_the_original"),
    ),
    # ---- engine -------------------------------------------------------------------------------------------
    *_of(
        "cellsim/solver/breakpoints.py",
        ("the first dose is dropped", "in doses.jumps:", "in doses.jumps[1:]:", "solver/test_simulation.py::test_bolus_and_zero_order_doses_match_the_closed_form"),
        ("a dose on the last day is dropped", "if time > end:", "if time >= end:", "solver/test_solver_stories.py::test_a_sample_at_a_dose_is_read_after_it_wherever_else_one_samples"),
        ("the second of two doses at one instant is dropped", "row[target] += amount", "row[target] += amount if rank == 0 else 0.0",
         "solver/test_simulation.py::test_two_half_doses_are_one_dose"),
        ("an infusion does not stop", "i, -float(rate))]", "i, 0.0 * float(rate))]", "solver/test_simulation.py::test_bolus_and_zero_order_doses_match_the_closed_form"),
    ),
    *_of(
        "cellsim/solver/restarts.py",
        ("a steady state added is set", "(first if y is None else y) + states,", "states,",
         "dosing/test_dose_records.py::test_a_table_does_what_matrix_exponentials_say"),
        ("an area asked for begins anew at a reset", "states = np.where(self.lasting, y, states)", "pass",
         "dosing/test_dose_records.py::test_a_sweep_asks_for_areas_across_restarts"),
        ("far out is settled", "return y if still.all() else None", "return y", "dosing/test_dose_records.py::test_far_out_nothing_is_settled"),
        ("a steady state keeps the derivative of its cycle", "turned = _newton(moved[rest], slopes[:, own:][np.ix_(rest, rest)])", "turned = moved[rest]",
         "dosing/test_dose_records.py::test_steady_states_are_differentiated"),
    ),
    *_of(
        "cellsim/compiler/rodas5p.py",
        ("a coefficient of a stage is wrong in its fifth digit", "(2.849394379747939,", "(2.849494379747939,",
         "compiler/test_rodas5p.py::test_stage_times_match_the_published_ones"),
        ("a coefficient of the dense output is wrong in its third digit", "0.4272876194431874", "0.4282876194431874",
         "compiler/test_rodas5p.py::test_order_conditions_of_the_dense_output"),
    ),
    *_of(
        "cellsim/compiler/writer.py",
        ("a step counts by its least error, not its largest", "fcmp ugt {code.kind(BLOCK)} {e}, {worst}",
         "fcmp ult {code.kind(BLOCK)} {e}, {worst}", "solver/test_solver.py::test_stiff_problems_within_a_few_times_the_tolerance"),
        ("the new value alone scales the error", "size = code.choose(code.compare(\"ogt\", old, size, BLOCK), old, size, BLOCK)",
         "size = code.two(\"fadd\", code.two(\"fadd\", old, size, BLOCK), code.const(1.0, BLOCK), BLOCK)",
         "solver/test_solver.py::test_stiff_problems_within_a_few_times_the_tolerance"),
    ),
    *_of(
        "cellsim/solver/step_events.py",
        ("events of one instant see one another's new values", "w[off[S_Y1] + i * W + lane] = w[off[S_YS] + i * W + lane]",
         "w[off[S_Y1] + i * W + lane] = w[off[S_Y] + i * W + lane] = w[off[S_YS] + i * W + lane]", "solver/test_time_windows.py::test_what_happens_at_one_instant_has_one_order"),
        ("an event that is on and off again within a step is stepped over", "_gap_error(addr, off, opt, w, base, i):\n                    return theta",
         "_gap_error(addr, off, opt, w, base, i):\n                    return 0.0", "solver/test_time_windows.py::test_a_window_of_states_is_met_however_short"),
        ("an event fires again while its condition holds", "now[roots + e] = 1 if now[e] != 0 and held[e] == 0 else 0", "now[roots + e] = 1 if now[e] != 0 else 0",
         "solver/test_time_windows.py::test_an_event_fires_each_time_its_window_opens"),
        ("a sample at a late execution is read as rounding has it", "if times[sample] >= instant - near:", "if times[sample] >= instant:",
         "solver/test_event_instants.py::test_so_are_samples_at_instants_that_are_no_round_numbers"),
    ),
    *_of(
        "cellsim/solver/step_loop.py",
        ("the tolerance is a hundred times looser", "w[control + 1] = opt[RTOL]", "w[control + 1] = 100.0 * opt[RTOL]",
         "solver/test_solver.py::test_stiff_problems_within_a_few_times_the_tolerance"),
        ("steps with a hundred times their error are taken", "if not error <= 1.0:", "if not error <= 100.0:",
         "solver/test_solver.py::test_stiff_problems_within_a_few_times_the_tolerance"),
        ("dense output of the second order", "inner = w[k] + theta * (w[k + step] + theta * w[k + 2 * step])",
         "inner = w[k] + theta * w[k + step]", "solver/test_solver_stories.py::test_a_dense_path_passes_through_the_samples"),
        ("a sample on the day of a dose is read before it",
         "s = times[ptr[lane] * W + lane]\n                    if before < 0 and not (s < new or (s <= new and new < end and hit < 0)):",
         "s = times[ptr[lane] * W + lane]\n                    if before < 0 and not s <= new:",
         "solver/test_simulation.py::test_a_sample_at_the_instant_of_a_dose_is_read_after_it"),
        ("samples of lanes on the day of a dose are read before it",
         "s = times[ptr[0] * W]\n                if not (s < new or (s <= new and new < end and hit < 0)):",
         "s = times[ptr[0] * W]\n                if not s <= new:",
         "solver/test_lanes.py::test_samples_of_lanes_on_the_day_of_a_dose_are_read_after_it"),
        ("every lane has the doses of the first", "w[slot + i * W + lane] += G.op_amount[o * stride + (source[lane] if stride > 1 else 0)]",
         "w[slot + i * W + lane] += G.op_amount[o * stride]", "solver/test_solver_stories.py::test_sets_may_have_doses_and_times_of_their_own"),
        ("an event on states is taken at the end of its step", "new = t + hit_theta * h", "new = t + h", "solver/test_solver.py::test_a_state_event_is_located_on_the_dense_output"),
        ("the jump of a rate on a day that moves is not felt", "shift_tangents(T, b, SEED_TURN, G.flow, -1.0)",
         "shift_tangents(T, b, SEED_TURN, G.flow, 0.0)", "solver/test_time_windows.py::test_the_jump_of_a_rate_moves_with_its_day"),
        ("the instant of a dose that moves is not felt", "shift_tangents(T, b, SEED_DOSE, G.flow, -1.0)",
         "shift_tangents(T, b, SEED_DOSE, G.flow, 0.0)", "solver/test_solver_sensitivities.py::test_dosed_compartment_matches_closed_form_in_every_direction"),
        ("steps do not follow derivatives", "if tried <= 1.0:", "if tried <= 1e300:",
         "solver/test_solver_sensitivities.py::test_steps_follow_derivatives_where_states_rest"),
        ("a level that is only touched has a slope", "if grazing > 0.0 and jump_matters(", "if grazing < 0.0 and jump_matters(",
         "solver/test_time_windows.py::test_a_level_that_is_touched_and_not_crossed_has_no_slope"),
        ("the instant of an event on states is not felt", "shift_all(T, G.flow, -1.0)", "shift_all(T, G.flow, 0.0)",
         "solver/test_solver_sensitivities.py::test_sensitivities_across_an_event_that_a_state_triggers"),
    ),
    # ---- noise and priors ---------------------------------------------------------------------------------
    *_of(
        "cellsim/likelihood/noise.py",
        ("the Jacobian of log-normal noise is lost", "constant = -_LOG_ROOT_TWO_PI - np.log(sd) - np.where(logged, seen, 0.0)",
         "constant = -_LOG_ROOT_TWO_PI - np.log(sd)", "likelihood/test_noise.py::test_gaussian_is_scipys_normal_and_lognormal"),
        ("the Jacobian of Student noise is lost", "constant = _log_height(degrees) - np.log(scale) - np.where(logged, seen, 0.0)",
         "constant = _log_height(degrees) - np.log(scale)", "likelihood/test_noise.py::test_student_is_scipys_t"),
        ("a residual has the wrong sign", "residual = (said - seen) / sd", "residual = (seen - said) / sd",
         "likelihood/test_noise.py::test_gaussian_is_scipys_normal_and_lognormal"),
        ("below and above a limit are exchanged", "sign = np.where(above, -1.0, 1.0)", "sign = np.where(above, 1.0, -1.0)",
         "likelihood/test_noise.py::test_censoring_is_scipys_distribution_function"),
        ("a grade's share is that of all grades up to it", "log_expit(high) + log_expit(-low) + np.log(apart)", "log_expit(high)",
         "likelihood/test_noise.py::test_grades_are_logistic_shares_that_sum_to_one"),
    ),
    *_of(
        "cellsim/likelihood/priors.py",
        ("the density of a cut prior is not divided by what is left", "np.asarray(self._distribution().logpdf(value)) - np.log(self._share())",
         "np.asarray(self._distribution().logpdf(value))", "likelihood/test_priors.py::test_density_integrates_to_one"),
        ("the upper bound of a prior is ignored in its density", " & (np.asarray(value) <= self.upper)", "", "likelihood/test_priors.py::test_widening_is_a_power_of_the_density_in_the_whitened_coordinate"),
        ("a widened prior is not widened", "sd = sd * np.array([self.priors[j].spread for j in found])",
         "sd = sd * np.ones(len(found))", "likelihood/test_priors.py::test_several_at_once_are_the_same_one_by_one"),
    ),
    # ---- likelihood ---------------------------------------------------------------------------------------
    *_of(
        "cellsim/likelihood/observations.py",
        ("a censored row is read as exact", 'part="censored" if isinstance(row, Censored) else "standard"', 'part="standard"',
         "likelihood/test_likelihood.py::test_what_is_scored_is_said_in_full"),
        ("a value above its limit is read as below", 'above=isinstance(row, Censored) and row.censoring == "right"', "above=False",
         "likelihood/test_noise.py::test_a_row_of_a_case_lies_on_its_side_of_the_limit"),
        ("Student noise is read as normal", "        if np.isinf(degrees)\n", "        if True\n", "likelihood/test_noise.py::test_under_t_the_posterior_and_its_constants_are_the_products_of_scipys_densities"),
        ("a censored row has normal noise beside Student's", "            degrees=degrees,\n        )\n    if not", "        )\n    if not",
         "likelihood/test_estimated_noise.py::test_the_gradient_is_that_of_the_log_likelihood_by_scipy"),
        ("the sd of the noise is squared", "return float(factor), names[0]", "return float(factor) ** 2, names[0]", "likelihood/test_likelihood.py::test_every_part_is_its_formula"),
        ("the slope of a value with log-normal noise is that of its logarithm",
         "np.divide(1.0, predicted, out=inner, where=rows.logged & ~nothing)", "pass", "likelihood/test_likelihood.py::test_the_gradient_is_that_of_half_the_objective"),
    ),
    *_of(
        "cellsim/likelihood/graded_rows.py",
        ("a grade ends at its lower cut-point", "first + top + 1 if", "first + top if", "likelihood/test_likelihood.py::test_every_part_is_its_formula"),
        ("the slope of a grade by its scale has the wrong sign", "by_spread[there] -= (weight", "by_spread[there] += (weight",
         "case/test_outcomes.py::test_grades_of_any_number_are_an_ordered_logit"),
    ),
    *_of(
        "cellsim/errors.py",
        ("a row from another process is another row", "tuple(None if isinstance(each, float) and each != each else each for each in values)", "tuple(values)",
         "test_equality.py::test_rows_of_one_case_read_twice_are_the_same_rows"),
    ),
    *_of(
        "cellsim/posterior/sampler.py",
        ("a mode that draws show is not looked for", "misses_mode=misses_mode if first_look else None", "misses_mode=None",
         "posterior/test_collapsed.py::test_a_mode_that_all_starts_missed_is_drawn_around_once_a_draw_shows_it"),
    ),
    *_of(
        "cellsim/likelihood/formulation.py",
        ("the bounds of priors are ignored", 'Prior(row.family or "uniform", numbers, row.lower, row.upper)',
         'Prior(row.family or "uniform", numbers)', "likelihood/test_priors.py::test_bounds_in_a_case_s_table_cut_the_prior"),
    ),
    *_of(
        "cellsim/likelihood/objective.py",
        ("the first prior is dropped", "np.concatenate([residual, of_spreads, theta]), jacobian",
         "np.concatenate([residual, of_spreads, 0.0 * theta[:1], theta[1:]]), jacobian", "likelihood/test_likelihood.py::test_the_sum_of_squares_is_the_posterior_up_to_its_constant"),
        ("the first prior is counted twice", "np.concatenate([residual, of_spreads, theta]), jacobian",
         "np.concatenate([residual, of_spreads, np.sqrt(2.0) * theta[:1], theta[1:]]), jacobian", "likelihood/test_likelihood.py::test_the_sum_of_squares_is_the_posterior_up_to_its_constant"),
        ("rows are read on each other's day", "by_occasion = np.argsort(order)[rows.occasion]", "by_occasion = order[rows.occasion]",
         "likelihood/test_likelihood.py::test_every_part_is_its_formula"),
        ("one sensitivity is zero", "solution.sensitivities[0, times, rows.output]\n",
         "solution.sensitivities[0, times, rows.output]\n        out[:, 0] = 0.0\n", "posterior/test_fitting.py::test_a_linear_gaussian_problem_has_its_closed_form"),
        ("the day of a sample has no slope", "rates * self._coordinates.slopes(theta)[latent[moved]]", "0.0 * rates",
         "likelihood/test_likelihood.py::test_the_gradient_is_that_of_half_the_objective"),
        ("a trough is read after its dose", "np.maximum(np.nextafter(days, -np.inf), self.case.start), days)", "days, days)",
         "case/test_predose.py::test_trough_said_to_be_predose_is_read_before_the_dose"),
        ("the constant of the evidence is lost", "return lost + len(self.names) * np.log(2 * np.pi)", "return lost",
         "likelihood/test_likelihood.py::test_the_sum_of_squares_is_the_posterior_up_to_its_constant"),
    ),
    *_of(
        "cellsim/likelihood/day_quadrature.py",
        ("nodes of a day are weighed by the prior squared", "np.exp(-0.5 * self.thetas**2)", "np.exp(-self.thetas**2)",
         "likelihood/test_day_quadrature.py::test_moments_are_those_of_the_unit_normal"),
    ),
    *_of(
        "cellsim/likelihood/marginal_days.py",
        ("nodes of a day are not weighed", "out.append(by_node + visit.nodes.log_weights)", "out.append(by_node)",
         "likelihood/test_marginal_days.py::test_value_is_the_integral"),
        ("all nodes of a day hold the same share", "share = np.exp(held - np.logaddexp.reduce(held))",
         "share = np.full(held.size, 1.0 / held.size)", "likelihood/test_marginal_days.py::test_gradient_and_curvature_are_those_of_the_value"),
    ),
    *_of(
        "cellsim/likelihood/replicates.py",
        ("a replicate of a logarithm has noise of the value", "here * np.exp(noise) if term.logged else here + noise",
         "here + noise", "posterior/test_posterior.py::test_a_replicate_has_the_scatter_of_its_row test_honesty.py::test_values_have_the_distribution_they_are_scored_by"),
    ),
    # ---- posterior ----------------------------------------------------------------------------------------
    *_of(
        "cellsim/posterior/laplace.py",
        ("Laplace's evidence misses the determinant", " - 0.5 * float(self.theta @ self.theta) - 0.5 * self._log_determinant",
         " - 0.5 * float(self.theta @ self.theta)", "comparison/test_variants.py::test_laplace_and_bridge_meet_the_closed_form_of_a_gaussian_line"),
        ("only the highest mode counts", "logsumexp([mode.log_evidence for mode in self.modes])",
         "max(mode.log_evidence for mode in self.modes)", "posterior/test_fitting.py::test_two_explanations_are_both_found_and_weighed"),
        ("modes are not weighed in their density", "parts.append(np.log(weight) + size", "parts.append(size",
         "posterior/test_fitting.py::test_density_of_a_mixture_is_that_of_its_normal_laws"),
        ("the spread between modes is lost", "(mode.covariance + np.outer(apart, apart))", "mode.covariance", "posterior/test_fitting.py::test_a_mixture_has_the_moments_and_quantiles_of_its_draws"),
    ),
    *_of(
        "cellsim/posterior/weighted_draws.py",
        ("weights are ignored when draws are made to count alike", "systematic(np.log(weights), n, random)", "systematic(0.0 * weights, n, random)",
         "posterior/test_collapsed.py::test_draws_made_to_count_alike_are_in_proportion_to_their_weights"),
        ("weighted draws count alike", "np.exp(self._smoothed[0])[:, None] * within * self._by_place.size", "np.ones_like(within)",
         "posterior/test_collapsed.py::test_one_parameter_that_bends_is_drawn_and_agrees_with_quadrature posterior/test_collapsed.py::test_both_modes_are_drawn_in_proportion"),
    ),
    *_of(
        "cellsim/posterior/fitting.py",
        ("boxes pull to their middle", 'density = "petab" if flat else "whitened"', 'density = "whitened"',
         "posterior/test_density.py::test_a_flat_prior_is_flat_for_petab_and_pulls_to_its_median_in_whitened_coordinates"),
    ),
    *_of(
        "cellsim/posterior/curvature.py",
        ("second derivatives are left out of the curvature", "return slopes.T @ slopes + symmetric(together, groups, steps, changes)",
         "return slopes.T @ slopes + 0.0 * symmetric(together, groups, steps, changes)", "posterior/test_fitting.py::test_the_hessian_is_not_the_one_of_gauss_and_newton"),
        ("what meets by chance in no row is taken for apart", " | (beside[:count] != 0)", "", "posterior/test_curvature.py"),
    ),
    *_of(
        "cellsim/posterior/calibration.py",
        ("90 % intervals hold 80 %", "self.mixture.quantiles(TAILS)", "self.mixture.quantiles([0.1, 0.9])",
         "posterior/test_fitting.py::test_a_linear_gaussian_problem_has_its_closed_form"),
    ),
    # ---- answers ------------------------------------------------------------------------------------------
    *_of(
        "cellsim/predictions/chances.py",
        ("the chance of being in range counts what is under it", "np.asarray(ndtr(above[0]) - ndtr(above[1]))", "np.asarray(ndtr(above[0]))",
         "predictions/test_measures.py::test_chance_as_sampled_is_scipys_under_either_noise"),
    ),
    *_of(
        "cellsim/solver/conditions.py",
        ("a strict trigger acts before the sample of its instant", "firings.append(Firing(day, event, not now))", "firings.append(Firing(day, event, False))",
         "solver/test_event_instants.py::test_a_sample_at_the_instant_is_read_as_the_trigger_is_there"),
    ),
    *_of(
        "cellsim/solver/sensitivities.py",
        ("an event on time and states has no derivative by its instant", "if (day, code) in fired or waiting:", "if (day, code) in fired:",
         "solver/test_event_instants.py::test_instants_move_what_follows_whatever_else_the_trigger_asks"),
        ("what a dose sets off stays when the dose moves", "if waiting and time not in days:", "if False and time not in days:",
         "solver/test_event_instants.py::test_what_a_dose_sets_off_moves_with_the_dose"),
    ),
    *_of(
        "cellsim/model/sbml_events.py",
        ("a late execution of a strict trigger comes at its instant", "reached = sp.Or(sp.Gt(TIME, due), sp.And(reached, strict[k] < _HALF))",
         "reached = sp.Ge(TIME, due)", "solver/test_event_instants.py::test_a_sample_at_the_instant_is_read_as_the_trigger_is_there"),
    ),
    *_of(
        "cellsim/predictions/measures.py",
        ("days below are days above", "sp.Lt(sp.Symbol(quantity)", "sp.Gt(sp.Symbol(quantity)", "predictions/test_measures.py::test_days_below_a_level_miss_no_stay_however_short"),
        ("an area begins before day 0", "self.areas[name][:, last] - self.areas[name][:, first]", "self.areas[name][:, last]",
         "sweeps/test_sweeps.py::test_measures_have_their_closed_forms"),
    ),
    *_of(
        "cellsim/sweeps/learned.py",
        ("an interval has the level of one side", "((1 - level) / 2, 0.5, (1 + level) / 2)", "(1 - level, 0.5, level)",
         "predictions/test_measures.py::test_an_interval_leaves_half_of_the_rest_on_either_side"),
        ("contraction is of sds, not of variances", "1 - after.var(axis=-1) / before.var(axis=-1)", "1 - after.std(axis=-1) / before.std(axis=-1)",
         "sweeps/test_sweeps.py::test_contraction_and_shift_are_those_of_a_normal_law"),
    ),
    *_of(
        "cellsim/sweeps/product_comparison.py",
        ("own and donor cells are compared the wrong way round", '(by_source.get("autologous"), by_source.get("allogeneic"))',
         '(by_source.get("allogeneic"), by_source.get("autologous"))', "sweeps/test_product_comparison.py::test_the_table_says_ratio_direction_and_what_the_prior_said"),
    ),
    *_of(
        "cellsim/identifiability/profile_curve.py",
        ("the threshold of a profile is that of one side", "ndtri(0.5 + level / 2)", "ndtri(level)",
         "identifiability/test_profiles.py::test_intervals_agree_with_lmfit_on_a_well_posed_problem"),
    ),
    *_of(
        "cellsim/comparison/evidence.py",
        ("the bridge weighs the approximation's draws wrongly", "upper = np.mean(other / (share * other + rest * ratio))",
         "upper = np.mean(other / (share * other + ratio))", "comparison/test_variants.py::test_laplace_and_bridge_meet_the_closed_form_of_a_gaussian_line"),
        ("the bridge's approximation is not normalised", " - np.log(np.diag(root)).sum()", "", "comparison/test_variants.py::test_laplace_and_bridge_meet_the_closed_form_of_a_gaussian_line"),
        ("priors are raised to the inverse power", "prior.widened(alpha**-0.5)", "prior.widened(alpha**0.5)", "comparison/test_variants.py::test_evidence_under_another_power_is_that_of_a_wider_normal_prior"),
    ),
    *_of(
        "cellsim/comparison/left_out.py",
        ("rows that are left out are kept", "for k, term in enumerate(objective.terms) if k not in gone)",
         "for term in objective.terms)", "comparison/test_variants.py::test_a_visit_left_out_is_predicted_as_a_gaussian_line_does"),
        ("what is gained by rows is taken for what is lost", "-rest.value", "rest.value",
         "comparison/test_variants.py::test_a_visit_left_out_is_predicted_as_a_gaussian_line_does"),
    ),
    *_of(
        "cellsim/comparison/draw_maps.py",
        ("moved draws forget what they were stretched by", "return moved, size + left", "return moved, left",
         "comparison/test_variants.py::test_a_visit_left_out_is_predicted_as_a_gaussian_line_does"),
    ),
    *_of(
        "cellsim/comparison/reweighting.py",
        ("few draws count as many", "few=worth < min(_FEW, 0.5 / float((before**2).sum())),", "few=False,",
         "comparison/test_robustness.py::test_draws_of_which_weights_leave_few_are_made_afresh"),
    ),
)
# fmt: on


def mutated(mutation: Mutation, root: Path = ROOT) -> str:
    """The file's text after the mistake.

    Raises
    ------
    ValueError
        If what it replaces does not stand there exactly once.
    """
    text = (root / mutation.file).read_text(encoding="utf-8")
    if (times := text.count(mutation.old)) != 1:
        raise ValueError(f"{mutation.name}: {mutation.old!r} stands {times} times in {mutation.file}.")
    return text.replace(mutation.old, mutation.new)


@contextmanager
def _copy() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(shutil.copytree(ROOT, Path(folder) / "tree", ignore=_LEFT_BEHIND))


def _tested(tree: Path, tests: Iterable[str], kept: str) -> subprocess.CompletedProcess[str]:
    """The tests of a tree, run there until the first that fails; machine code of the step loop is kept beside it."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), CACHE: kept},
        capture_output=True,
        text=True,
        check=False,
    )


def caught_by(mutation: Mutation, kept: str) -> str:
    """The test that catches a mutation, or how else the run ended; empty when it survives."""
    with _copy() as tree:
        (tree / mutation.file).write_text(mutated(mutation, tree), encoding="utf-8")
        done = _tested(tree, mutation.tests, kept)
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"signal {-done.returncode}"
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (_FAILED, _INTERRUPTED) or found is None:
        raise RuntimeError(f"{mutation.name}: the tests could not be run.\n{done.stdout}{done.stderr}")
    return found[1]


class _Record:
    """What was found so far, kept in a file whose first line says of which sources and tests."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.found = path, dict[str, str]()
        if path is None:
            return
        files = sorted(
            [*ROOT.glob("cellsim/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/*.py")]
        )
        told = hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()
        if not path.exists():
            path.write_text(f"{told}\n", encoding="utf-8")
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        if first != told:
            raise SystemExit(f"{path} is of other sources; begin a new one.")
        self.found = dict(line.split("\t") for line in lines)

    def keep(self, name: str, found: str) -> None:
        if self.path and name not in self.found:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{name}\t{found}\n")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutations", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "word", nargs="*", help="which ones: what stands in their names or files; all without any"
    )
    parser.add_argument("--record", type=Path, help="file that keeps what was found, to go on from there")
    asked = parser.parse_args(arguments)
    words, record = asked.word, _Record(asked.record)
    known = {each: f"{each.name} {each.file}" for each in MUTATIONS}
    for word in words:
        if not any(word in text for text in known.values()):
            parser.error(f"no mutation has {word!r} in its name or file")
    chosen = [each for each, text in known.items() if not words or any(word in text for word in words)]
    survivors = []
    with TemporaryDirectory() as kept:
        tests = sorted({test for each in chosen for test in each.tests})
        if (key := " ".join(tests)) not in record.found:
            with _copy() as tree:
                done = _tested(tree, tests, kept)
            if done.returncode:
                print(f"Without any mutation the tests fail:\n{done.stdout}{done.stderr}")
                return 1
            record.keep(key, "none fails without any mutation")
        print("| mutation | caught by |\n|---|---|")
        for each in chosen:
            found = record.found[each.name] if each.name in record.found else caught_by(each, kept)
            record.keep(each.name, found)
            survivors += [] if found else [each]
            print(f"| {each.name} | {found or '**survived**'} |", flush=True)
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} caught.")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
