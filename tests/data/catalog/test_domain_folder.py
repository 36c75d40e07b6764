from __future__ import annotations

import pytest

from transferlab.data.catalog.domain_folder import DomainFolder
from transferlab.data.data_error import DataError

OFFICE = {
    f"{domain}/images/{name}": num
    for domain, num in (("amazon", 6), ("dslr", 5), ("webcam", 4))
    for name in ("back_pack", "bike")
}


def test_office_31(image_folder):
    root = image_folder(OFFICE, root="office31")
    catalog = DomainFolder(str(root), domain="webcam").load()
    assert catalog.classes == ("back_pack", "bike")
    assert catalog.class_counts.tolist() == [4, 4]
    assert catalog.table["domain"].unique().tolist() == ["webcam"]
    assert catalog.samples[0].startswith("back_pack/")
    assert catalog.reader(catalog.samples[0]).shape == (10, 12, 3)


def test_classes_without_the_folder_images(image_folder):
    root = image_folder(
        {"Art/Alarm_Clock": 2, "Art/Bed": 2, "Real World/Alarm_Clock": 1, "Real World/Bed": 1}
    )
    assert DomainFolder(str(root), domain="Real World").load().class_counts.tolist() == [1, 1]


def test_images_may_be_a_class(image_folder):
    root = image_folder({"web/images": 2, "web/texts": 3})
    catalog = DomainFolder(str(root), domain="web").load()
    assert catalog.classes == ("images", "texts")


def test_both_domains(image_folder, make_batches):
    root = str(image_folder(OFFICE, root="office31"))
    data = make_batches(
        source=DomainFolder(root, domain="amazon"), target=DomainFolder(root, domain="dslr"), batch_size=4
    )
    assert len(data.splits["train"]) == 8
    assert len(data.splits["target_train"]) == 6
    batch = next(iter(data.train()))
    assert set(batch) == {"image", "label", "target_image"}


def test_one_domain_twice_is_refused(image_folder, make_batches):
    root = str(image_folder(OFFICE, root="office31"))
    amazon, webcam = (DomainFolder(root, domain=domain) for domain in ("amazon", "webcam"))
    with pytest.raises(DataError, match="All 12 images of the target are images of the source, too"):
        make_batches(source=amazon, target=amazon)
    make_batches(source=amazon, target=webcam)


@pytest.mark.parametrize(
    ("domain", "says"),
    [
        (
            "amazn",
            r"domain=amazn: .* has no folder of this name\. Did you mean amazon\? It has amazon, dslr, we",
        ),
        ("DSLR", r"Did you mean dslr\?"),
        ("photos", r"has no folder of this name\. It has amazon, dslr, webcam\.$"),
        (None, r"domain=None: "),
    ],
)
def test_wrong_domains(domain, says, image_folder):
    with pytest.raises(DataError, match=says):
        DomainFolder(str(image_folder(OFFICE)), domain=domain).load()


def test_wrong_roots(image_folder):
    with pytest.raises(DataError, match=r"data\.root has no value"):
        DomainFolder(None, domain="amazon").load()
    with pytest.raises(DataError, match="does not exist"):
        DomainFolder("gone", domain="amazon").load()
    with pytest.raises(DataError, match=r"holds no folders\. It should hold one for each domain"):
        DomainFolder(str(image_folder({".": 2})), domain="amazon").load()


def test_a_folder_around_the_domains(image_folder):
    root = image_folder({"office31/amazon/a": 1, "office31/webcam/a": 1})
    with pytest.raises(DataError, match=rf"Did you mean data\.root={root}/office31\?"):
        DomainFolder(str(root), domain="amazon").load()
