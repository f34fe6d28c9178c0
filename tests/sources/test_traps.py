"""The traps of real smallData files: each gives a right answer or a clear error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from cubeengine.errors import MissingExtra, SourceFormatError, SpecError
from cubeengine.sources import hdf5
from cubeengine.sources.hdf5 import explain_hdf5
from cubeengine.sources.registry import is_raw, open_raw, open_source
from cubeengine.types import FieldKind
from tests.makers.smalldata import write_joined, write_lcls1, write_lcls2


@contextmanager
def editing(path: Path) -> Iterator[h5py.File]:
    with h5py.File(path, "r+") as file:
        yield file


class TestTime:
    def test_lcls1_counts_from_1970_and_lcls2_from_1990(self, tmp_path: Path) -> None:
        first = open_source(write_lcls1(tmp_path / "a.h5").path)
        second = open_source(write_lcls2(tmp_path / "b.h5").path)
        assert str(first.time[0]) == "2015-02-27T01:20:00.400000000"
        assert str(second.time[0]) == "2024-03-05T15:20:00.400000000"

    def test_time_goes_on_over_the_border_of_a_second(self, tmp_path: Path) -> None:
        source = open_source(write_lcls1(tmp_path / "a.h5").path)
        np.testing.assert_array_equal(np.diff(source.time).astype(np.int64), 8_333_333)

    def test_equal_timestamps_are_both_kept_as_they_lie(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        with editing(truth.path) as file:
            times = file["event_time"][:]
            times[[3, 20]] = times[10]
            file["event_time"][:] = times
        source = open_source(truth.path)
        assert source.n_events == 30
        assert source.rows is not None
        at = np.flatnonzero(source.timestamps == times[10])
        assert source.rows[at].tolist() == [3, 10, 20]

    def test_joined_files_are_sorted(self, tmp_path: Path) -> None:
        source = open_source(write_joined(tmp_path).path)
        assert source.rows is not None
        assert (np.diff(source.time).astype(np.int64) > 0).all()


class TestShape:
    def test_a_shape_that_no_file_can_hold_is_told(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        with editing(truth.path) as file:
            file.create_dataset("cam/im", (30, 2**32, 2**31), "u1", chunks=(1, 100, 100))
        info = open_source(truth.path).fields["cam/im"]
        assert info.kind is FieldKind.RUN
        assert "shape (30, 4294967296, 2147483648), which no file can hold" in info.note


class TestMissing:
    def test_a_frame_is_missing_only_if_all_of_it_is_the_mark(self, tmp_path: Path) -> None:
        truth = write_lcls2(tmp_path / "a.h5", n_events=30)
        with editing(truth.path) as file:
            file["epx/ROI_0_counts"][7] = 1
            file["epx/ROI_0_counts"][7, 0] = -99999
        source = open_source(truth.path)
        column = source.read("epx/ROI_0_counts")
        assert column.valid is not None
        assert column.valid[7]
        blocks = source.reader("epx/ROI_0_counts").blocks(
            np.array([7]), elements=slice(0, 14), block_nbytes=1000
        )
        assert all(block.valid is None for block in blocks)

    def test_clipped_fill_of_rows_in_no_part_is_missing(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        column = open_source(truth.path).read("rare/counts")  # uint8, filled with 0
        assert column.valid is not None
        np.testing.assert_array_equal(~column.valid, truth.missing["rare/counts"])

    def test_chunks_that_were_never_written_are_missing(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=45)
        with editing(truth.path) as file:
            for name, dtype, options in (("f", "f4", {}), ("i", "i4", {"compression": "gzip"})):
                sparse = file.create_dataset(f"sparse/{name}", (45, 3), dtype, chunks=(10, 3), **options)
                sparse[10:20], sparse[30:45] = 2, 3
            file.create_dataset("sparse/nothing", (45,), "f8")
        source = open_source(truth.path)
        lacking = np.ones(45, bool)
        lacking[10:20] = lacking[30:45] = False
        floats, integers = source.read("sparse/f"), source.read("sparse/i")
        np.testing.assert_array_equal(np.isnan(floats.data).all(axis=1), lacking)
        assert integers.valid is not None
        np.testing.assert_array_equal(integers.valid, ~lacking)
        assert np.isnan(source.read("sparse/nothing").data).all()

    def test_leading_zeros_are_values_unless_declared(self, tmp_path: Path) -> None:
        source = open_source(write_lcls2(tmp_path / "a.h5", late=21).path)
        assert source.read("late/anint").valid is None
        assert source.leading_zero_rows("late/anint") == source.leading_zero_rows("late/afloat") == 21
        assert source.leading_zero_rows("fim/pulse") == 0
        marked = source.with_missing({"late/anint": "leading_zeros", "late/afloat": "leading_zeros"})
        assert marked.read("late/anint").valid is not None
        assert (~marked.read("late/anint").valid).sum() == 21
        assert np.isnan(marked.read("late/afloat").data[:21]).all()

    def test_leading_zeros_are_looked_for_in_every_part(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        for part, count in zip(truth.parts, (4, 7), strict=True):
            with editing(part) as file:
                file["late/anint"][:count] = 0
        source = open_source(truth.path)
        assert source.leading_zero_rows("late/anint") == 11

    def test_unknown_mark_is_refused(self, tmp_path: Path) -> None:
        source = open_source(write_lcls2(tmp_path / "a.h5").path)
        with pytest.raises(SpecError, match="leading_zeros"):
            source.with_missing({"late/anint": "zeros"})  # type: ignore[dict-item]


class TestKinds:
    def test_ragged_fields_are_listed_with_their_lengths_and_refused(self, tmp_path: Path) -> None:
        source = open_source(write_lcls2(tmp_path / "a.h5").path)
        info = source.fields["fim/var_peaks/height"]
        assert info.kind is FieldKind.RAGGED
        assert "fim/var_peaks_len" in info.note
        with pytest.raises(SpecError, match="varying number of values"):
            source.reader(info.name)
        assert source.fields["fim/var_peaks_len"].kind is FieldKind.EVENT

    def test_length_of_what_a_part_lacks_is_zero_and_not_valid(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        with editing(truth.parts[0]) as file:
            file["fim/var_peaks_len"][:5] = -99999
        column = open_source(truth.path).read("fim/var_peaks_len")
        assert column.valid is not None
        assert (column.data[~column.valid] == 0).all()
        assert (~column.valid).sum() == 5

    def test_padding_of_align_groups_is_no_event(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        group = open_source(truth.path).aligned("rareintg")
        assert group.n_events == len(truth.aligned["rareintg/timestamp"])
        assert group.fields["rareintg/slow/temp"].note == "120 padded rows left out"
        with pytest.raises(SpecError, match="align group"):
            open_source(truth.path).reader("rareintg/slow/temp")
        with pytest.raises(SpecError, match="'intg', 'rareintg'"):
            open_source(truth.path).aligned("slow")

    def test_settings_of_the_length_of_the_run_are_still_settings(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        with editing(truth.path) as file:
            file["UserDataCfg/epix/x"] = np.zeros(30)
            file["odd/length"] = np.zeros(29)
        source = open_source(truth.path)
        assert source.fields["UserDataCfg/epix/x"].kind is FieldKind.RUN
        assert source.fields["odd/length"].note == "29 rows, but the run has 30 events"
        assert len(source.read("odd/length")) == 29
        with pytest.raises(SpecError, match="29 rows"):
            source.reader("odd/length")

    def test_text_and_records_are_listed_and_not_read(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        with editing(truth.path) as file:
            file["odd/text"] = ["a"] * 30
            file["odd/records"] = np.zeros(30, [("a", "i4")])
            file.create_dataset("odd/vlen", (30,), h5py.vlen_dtype(np.int32))
            file["odd/nothing"] = h5py.Empty("f4")
            file["odd/references"] = np.array([file["odd"].ref], h5py.ref_dtype)
        source = open_source(truth.path)
        for name, what in (
            ("text", "text"),
            ("records", "records"),
            ("vlen", "varying length"),
            ("nothing", "empty"),
        ):
            assert what in source.fields[f"odd/{name}"].note
            with pytest.raises(SourceFormatError, match=what):
                source.read(f"odd/{name}")
        with pytest.raises(SourceFormatError):
            source.read("odd/references")

    def test_coordinates_of_elements_come_from_the_settings(self, tmp_path: Path) -> None:
        source = open_source(write_lcls1(tmp_path / "a.h5").path)
        name, q = source.coordinates("epix/azav_azav")[0]
        assert (name, q[0], q[-1]) == ("q", 0.1, 2.0)
        roi = source.coordinates("epix/ROI_0_area")
        assert [(roi[i][0], roi[i][1][0], roi[i][1][-1]) for i in (0, 1)] == [("row", 4, 15), ("col", 8, 21)]
        assert source.coordinates("ipm2/sum") == {}


class TestJoinedParts:
    def test_missing_part_names_it(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        truth.parts[1].unlink()
        with pytest.raises(SourceFormatError, match=r"joined_part1\.h5' was not found"):
            open_source(truth.path)

    def test_parts_are_found_beside_the_file_whatever_path_was_stored(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path, source_prefix="hdf5/smalldata/")
        np.testing.assert_array_equal(open_source(truth.path).timestamps, truth.timestamps)

    def test_joined_file_may_be_a_link_to_another_directory(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "mine").mkdir()
        truth = write_joined(tmp_path / "data")
        link = tmp_path / "mine" / "run.h5"
        link.symlink_to(truth.path)
        assert open_source(link).n_events == len(truth.timestamps)

    def test_part_outside_of_the_directory_is_not_opened(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        truth = write_joined(tmp_path / "data", source_prefix="../")
        for part in truth.parts:
            part.rename(tmp_path / part.name)
        with pytest.raises(SourceFormatError, match=r"outside the run's directory"):
            open_source(truth.path)

    def test_part_that_is_another_one_is_told(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        with h5py.File(truth.parts[0], "w") as file:
            file["timestamp"] = np.arange(3)
        with pytest.raises(SourceFormatError, match="was replaced after the files were joined"):
            open_source(truth.path)

    def test_missing_marks_among_event_times_stop(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        with editing(truth.parts[0]) as file:
            file["timestamp"][3:5] = -99999
        with pytest.raises(SourceFormatError, match="2 of 240 event times"):
            open_source(truth.path)

    def test_rows_mapped_in_another_way_are_refused(self, tmp_path: Path) -> None:
        truth = write_joined(tmp_path)
        layout = h5py.VirtualLayout((240, 4), "f4")
        layout[:, :2] = h5py.VirtualSource(truth.parts[0].name, "x", (240, 2))
        with editing(truth.path) as file:
            file.create_virtual_dataset("odd/halves", layout)
        source = open_source(truth.path)
        with pytest.raises(SourceFormatError, match="another way than consecutive rows"):
            source.read("odd/halves")

    def test_circle_of_virtual_datasets_ends(self, tmp_path: Path) -> None:
        truth = write_lcls2(tmp_path / "a.h5", n_events=30)
        with editing(truth.path) as file:
            for name, other in (("a", "b"), ("b", "a")):
                layout = h5py.VirtualLayout((30,), "f8")
                layout[:] = h5py.VirtualSource(".", f"circle/{other}", (30,))
                file.create_virtual_dataset(f"circle/{name}", layout)
        with pytest.raises(SourceFormatError, match="virtual datasets"):
            open_source(truth.path).read("circle/a")


class TestLinks:
    @pytest.fixture
    def linked(self, tmp_path: Path) -> Path:
        (tmp_path / "data").mkdir()
        path = write_lcls1(tmp_path / "data" / "run.h5", n_events=30).path
        for target in (tmp_path / "secret.h5", tmp_path / "data" / "more.h5"):
            with h5py.File(target, "w") as file:
                file["x"] = np.arange(30.0)
        with editing(path) as file:
            file["out"] = h5py.ExternalLink("../secret.h5", "x")
            file["out_absolute"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")
            file["inside"] = h5py.ExternalLink("more.h5", "x")
            file["gone"] = h5py.SoftLink("/not/there")
            file["alias"] = h5py.SoftLink("/ipm2")
            file["through"] = h5py.SoftLink("/out")
            file["ipm2/circle"] = h5py.SoftLink("/")
            file["ipm2/hard"] = file["/"]
        return path

    @pytest.mark.parametrize("name", ["out", "out_absolute"])
    def test_links_out_of_the_directory_are_listed_and_not_followed(self, linked: Path, name: str) -> None:
        source = open_source(linked)
        assert "outside the run's directory" in source.fields[name].note
        with pytest.raises(SourceFormatError, match=r"secret\.h5"):
            source.read(name)

    def test_links_within_the_directory_are_followed(self, linked: Path) -> None:
        source = open_source(linked)
        np.testing.assert_array_equal(source.read("inside").data, np.arange(30.0))
        assert [file.path.name for file in source.files] == ["run.h5", "more.h5"]
        np.testing.assert_array_equal(source.read("alias/sum").data, source.read("ipm2/sum").data)

    @pytest.mark.parametrize(("name", "what"), [("gone", "no '/not/there'"), ("through", "another link")])
    def test_links_that_lead_nowhere_are_told(self, linked: Path, name: str, what: str) -> None:
        with pytest.raises(SourceFormatError, match=what):
            open_source(linked).read(name)

    def test_external_raw_data_are_not_read(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "run.h5", n_events=30)
        (tmp_path / "raw.bin").write_bytes(bytes(240))
        with editing(truth.path) as file:
            file.create_dataset("raw/near", (30,), "f8", external=[("raw.bin", 0, 240)])
            file.create_dataset("raw/far", (30,), "f8", external=[("/etc/passwd", 0, 240)])
        source = open_source(truth.path)
        with pytest.raises(SourceFormatError, match="h5repack"):
            source.read("raw/near")
        with pytest.raises(SourceFormatError, match="outside the run's directory"):
            source.read("raw/far")


class TestDamage:
    @pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
    def test_cut_off_file_says_so(self, tmp_path: Path, share: float) -> None:
        path = write_lcls2(tmp_path / "a.h5").path
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(SourceFormatError, match=r"a\.h5.*cut off: has [\d,]+ bytes, should have [\d,]+"):
            open_source(path)

    def test_file_that_is_being_written_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "a.h5"
        code = (
            "import h5py, sys; f = h5py.File(sys.argv[1], 'w', libver='latest'); f['timestamp'] = [1, 2];"
            "f.flush(); print('ready', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            with pytest.raises(SourceFormatError, match="being written"):
                open_source(path)
            writer.kill()
        with pytest.raises(SourceFormatError, match="still being written, or its writer was stopped"):
            open_source(path)

    def test_encoding_the_library_cannot_read_is_explained(self) -> None:
        message = "'Unable to synchronously open object (bad version # of encoded VDS heap information)'"
        text = explain_hdf5(Path("run.h5"), message, "field 'timestamp'")
        assert text.startswith("run.h5: field 'timestamp': is a virtual dataset in an encoding that HDF5")
        assert "update h5py" in text

    @pytest.mark.parametrize(
        ("name", "content", "what"),
        [
            ("e10-r0001-s00-c00.xtc", b"\x00" * 64, "LCLS-I raw file .* open its smallData file instead"),
            ("notes.txt", b"hello", "neither an HDF5 file"),
            ("empty.h5", b"", "neither an HDF5 file"),
        ],
    )
    def test_other_formats_get_one_clear_error(
        self, tmp_path: Path, name: str, content: bytes, what: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceFormatError, match=what):
            open_source(tmp_path / name)

    def test_raw_data_of_lcls2_are_known_by_their_content(self, tmp_path: Path) -> None:
        raw = tmp_path / "raw.xtc"  # the header of a Configure; the rest is still being written
        raw.write_bytes(b"\x01" * 11 + b"\x02" + b"\x00" * 8 + b"\x40\x00\x00\x00")
        assert is_raw(raw)
        with pytest.raises(SourceFormatError, match=r"no complete Configure"):
            open_source(raw)
        assert is_raw(tmp_path / "a-r0001-s000-c000.xtc2.inprogress")
        assert not is_raw(tmp_path / "none.h5")

    def test_raw_data_asked_for_are_not_opened_as_something_else(self, tmp_path: Path) -> None:
        path = write_lcls1(tmp_path / "a.h5").path
        with pytest.raises(SourceFormatError, match=r"is an HDF5 file, not raw data"):
            open_raw(path)
        with pytest.raises(SourceFormatError, match=r"without raw files of LCLS-II"):
            open_raw(tmp_path)
        (tmp_path / "e10-r0001-s00-c00.xtc").touch()
        with pytest.raises(SourceFormatError, match=r"an LCLS-I raw file"):
            open_raw([tmp_path])

    def test_what_is_no_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(SourceFormatError, match="No such file"):
            open_source(tmp_path / "none.h5")
        with pytest.raises(SourceFormatError, match="is a directory"):
            open_source(tmp_path)

    def test_hdf5_that_is_not_smalldata_says_what_it_has(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["nEntries"] = 3
        with pytest.raises(SourceFormatError, match=r"no event time .* it has nEntries"):
            open_source(tmp_path / "a.h5")

    def test_file_that_changed_since_it_was_opened_is_not_read(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        reader = open_source(truth.path).reader("ipm2/sum")
        with editing(truth.path) as file:
            file["more"] = np.zeros(1000)
        with pytest.raises(SourceFormatError, match="changed after the run was opened"):
            list(reader.blocks(np.arange(3), elements=slice(None), block_nbytes=1000))

    def test_damaged_chunk_names_field_and_rows(self, tmp_path: Path) -> None:
        options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        truth = write_lcls1(tmp_path / "a.h5", n_events=30, chunk_events=10, compression=options)
        with h5py.File(truth.path) as file:
            chunk = file["epix/ROI_0_area"].id.get_chunk_info(1)
        content = bytearray(truth.path.read_bytes())
        content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
        truth.path.write_bytes(content)
        source = open_source(truth.path)
        with pytest.raises(SourceFormatError, match="'/epix/ROI_0_area': the chunk of rows 10 to 19"):
            source.read("epix/ROI_0_area")
        assert len(source.read("epix/ROI_0_area", slice(0, 10))) == 10

    def test_shape_that_cannot_be_in_the_file_is_not_allocated(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        with editing(truth.path) as file:
            file.create_dataset("huge/rows", (10**12,), "f8", chunks=(1000,))
            file.create_dataset("huge/frame", (30, 10**6, 10**6), "f4", chunks=(1, 1000, 1000))
            file.create_dataset("huge/whole_frame", (30, 2**14, 2**14), "f4", chunks=(1, 2**14, 2**14))
        source = open_source(truth.path)
        for name in ("rows", "frame", "whole_frame"):
            with pytest.raises(SourceFormatError, match="bytes to read, but the file has"):
                source.read(f"huge/{name}")

    def test_event_times_that_cannot_be_in_the_file_are_not_allocated(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("timestamp", (10**12,), "i8", chunks=(1000,))
        with pytest.raises(SourceFormatError, match="bytes to read, but the file has"):
            open_source(tmp_path / "a.h5")


class TestCodecs:
    def test_bitshuffle_is_read_with_the_codecs(self, tmp_path: Path) -> None:
        hdf5plugin = pytest.importorskip("hdf5plugin")
        truth = write_lcls1(
            tmp_path / "a.h5", n_events=30, chunk_events=10, compression=dict(hdf5plugin.Bitshuffle())
        )
        source = open_source(truth.path)
        storage = source.fields["epix/ROI_0_area"].storage
        assert (storage.codecs, storage.direct, storage.chunk_events) == (("bitshuffle",), False, 10)
        np.testing.assert_array_equal(source.read("epix/ROI_0_area").data, truth.columns["epix/ROI_0_area"])

    def test_lack_of_the_codecs_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "hdf5plugin", None)
        monkeypatch.setattr(hdf5.h5py.h5z, "filter_avail", lambda _: False)
        with pytest.raises(
            MissingExtra, match=r"field 'x' is compressed with bitshuffle.*cubeengine\[codecs\]"
        ):
            hdf5.check_filters(Path("a.h5"), "field 'x'", (32008,))

    def test_unknown_filter_is_told_by_number(self, tmp_path: Path) -> None:
        pytest.importorskip("hdf5plugin")
        with pytest.raises(SourceFormatError, match="HDF5 filter 31999"):
            hdf5.check_filters(tmp_path / "a.h5", "field 'x'", (31999,))

    def test_chunk_that_skipped_a_filter_is_read(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        values = np.arange(60, dtype="<i4").reshape(30, 2)
        with editing(truth.path) as file:
            dataset = file.create_dataset(
                "odd/x", (30, 2), "i4", chunks=(30, 2), compression="gzip", shuffle=True
            )
            dataset.id.write_direct_chunk((0, 0), values.tobytes(), filter_mask=3)
        np.testing.assert_array_equal(open_source(truth.path).read("odd/x").data, values)

    def test_chunks_that_split_frames_are_read(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        values = np.arange(30 * 6 * 8, dtype="u2").reshape(30, 6, 8)
        with editing(truth.path) as file:
            file.create_dataset("odd/split", data=values, chunks=(4, 3, 5))
            file.create_dataset("odd/coded", data=values, chunks=(4, 3, 5), compression="gzip")
        source = open_source(truth.path)
        for name in ("odd/split", "odd/coded"):
            np.testing.assert_array_equal(source.read(name).data, values)

    def test_file_with_a_user_block_is_read(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "a.h5", "w", userblock_size=1024) as file:
            file["event_time"] = np.arange(30)
            file.create_dataset("x/y", data=np.arange(30.0), chunks=(7,))
        source = open_source(tmp_path / "a.h5")
        np.testing.assert_array_equal(source.read("x/y").data, np.arange(30.0))

    def test_odd_number_types_are_read_by_the_library(self, tmp_path: Path) -> None:
        truth = write_lcls1(tmp_path / "a.h5", n_events=30)
        with editing(truth.path) as file:
            odd = h5py.h5t.STD_I32LE.copy()
            odd.set_precision(24)
            space = h5py.h5s.create_simple((30,))
            h5py.h5d.create(file.id, b"odd24", odd, space).write(
                h5py.h5s.ALL, h5py.h5s.ALL, np.arange(30, dtype="i4")
            )
            file["flags"] = np.arange(30) % 3 == 0
        source = open_source(truth.path)
        np.testing.assert_array_equal(source.read("odd24").data, np.arange(30))
        assert source.fields["flags"].dtype == np.dtype(bool)
        np.testing.assert_array_equal(source.read("flags").data, np.arange(30) % 3 == 0)


def test_run_fields_serve_an_align_group_by_time_whatever_the_order(tmp_path: Path) -> None:
    truth = write_lcls2(tmp_path / "a.h5", n_events=60)
    with editing(truth.path) as file:
        times = file["intg/timestamp"][:]
        file["intg/timestamp"][:] = times[::-1]
        file["intg/timestamp"][2] = times[0] + 1  # no event of this time
    group = open_source(truth.path).aligned("intg")
    motor, pulse = group.read("scan/motor1").data, truth.columns["fim/pulse"]
    assert np.isnan(motor[1])
    np.testing.assert_array_equal(group.read("fim/pulse").data[[0, 2, 4, 5]], pulse[[9, 19, 49, 59]])
    laser = group.read("lightStatus/laser")
    assert laser.valid is not None
    assert (~laser.valid).sum() == 1
